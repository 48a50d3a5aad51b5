"""What others published, for the tables beside ours: never measured here, and marked so wherever it is shown."""

from training.evaluation.document import Table

_CFA = "CFA-Net, Table "
VERIFICATION = (
    # method, TPR at FAR 1e-3 with FaceNet VGGFace2, with FaceNet CASIA-WebFace, where it is written
    ("originals", "0.986 ± 0.010", "0.965 ± 0.016", f"{_CFA}1"),
    ("Gafni et al., 2019", "0.038 ± 0.015", "0.038 ± 0.011", f"{_CFA}1"),
    ("CIAGAN (Maximov et al., 2020)", "0.034 ± 0.016", "0.019 ± 0.008", f"{_CFA}1"),
    ("CFA-Net", "0.012 ± 0.005", "0.010 ± 0.007", f"{_CFA}1"),
)
KNOWN_RAW = {
    # recognizer: accuracy and TPR at FAR 1e-3 on untouched pairs of all ten folds of LFW; "" where nobody says
    "dlib": ("0.994", ""),
    "torchscript:mobilefacenet-casia-arcface.torchscript.pt": ("0.991", "0.955"),
}
RE_IDENTIFICATION = (
    # method, FaceNet rank-1 among 1,000: CelebA-HQ, FFHQ
    ("FALCO", "0.005", "–"),
    ("Face Anonymization Made Simple (FAMS), degree 1.4", "0.008", "0.039"),
    ("Face Anonymization Made Simple (FAMS), degree 1.2", "0.053", "0.098"),
    ("DeepPrivacy2", "0.020", "0.046"),
)
LIKENESS = (
    # method, FID, LPIPS, SSIM, PSNR, found by MTCNN, dlib, SSH
    ("CIAGAN (Maximov et al., 2020)", "2.663", "0.221", "0.718", "18.27", "0.887", "0.916", "1.0"),
    ("CFA-Net", "2.193", "0.177", "0.865", "21.26", "0.920", "0.959", "1.0"),
)
KEPT = (
    # method, head pose, gaze, expression on CelebA-HQ: errors, lower is better
    ("FAMS, degree 1.2", "0.048", "0.161", "8.256"),
    ("FALCO", "0.088", "0.258", "9.290"),
    ("DeepPrivacy2", "0.140", "0.244", "10.139"),
)
_MARK = "Published, not measured here; other data, detectors and recognizers than ours."


def published_tables() -> list[Table]:
    """All of it, each table with its mark and its source."""
    return [
        Table(
            "Published: verification on LFW",
            f"{_MARK} TPR at FAR 1e-3, second picture of each of 3,000 same pairs anonymized, ten folds.",
            ("method", "FaceNet VGGFace2", "FaceNet CASIA-WebFace", "source"),
            [list(row) for row in VERIFICATION],
        ),
        Table(
            "Published: re-identification",
            f"{_MARK} Share of faces whose original comes first among 1,000, FaceNet, no threshold: not a TPR. As in "
            "Table 1 of FAMS, which measured the others too; at second hand.",
            ("method", "CelebA-HQ", "FFHQ"),
            [list(row) for row in RE_IDENTIFICATION],
        ),
        Table(
            "Published: likeness and detection on CelebA",
            f"{_MARK} Inside the MTCNN box of 24,683 pictures of 1,200 people; CFA-Net, Table 3.",
            ("method", "FID", "LPIPS", "SSIM", "PSNR, dB", "MTCNN", "dlib", "SSH"),
            [list(row) for row in LIKENESS],
        ),
        Table(
            "Published: what is kept on CelebA-HQ",
            f"{_MARK} Errors of head pose, gaze and expression, lower is better. As in Table 1 of FAMS, which measured "
            "the others too; at second hand.",
            ("method", "head pose", "gaze", "expression"),
            [list(row) for row in KEPT],
        ),
    ]
