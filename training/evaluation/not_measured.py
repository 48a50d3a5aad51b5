"""Rows of the paper's tables that have no number of ours, each with its reason and the command that measures it."""

from training.evaluation.ablation import PAPER
from training.evaluation.document import Table

_ROWS = (
    (
        "Table 1: FaceNet VGGFace2 and CASIA-WebFace as attackers",
        "0.012 ± 0.005 / 0.010 ± 0.007",
        "their weights are downloaded on first use, and this machine reaches package registries alone",
        "`cfanet weights fetch facenet-vggface2`, then `cfanet evaluate lfw SRC --pairs CSV --out OUT --recognizer "
        "facenet-vggface2 --recognizer facenet-casia`",
    ),
    (
        "Table 1: all ten folds",
        "3,000 same pairs",
        "the data holds folds 0 to 4",
        "`cfanet evaluate lfw SRC --pairs CSV --out OUT` with all of LFW",
    ),
    (
        "Table 2 and Figure 3: ArcFace as attacker",
        "0.33 to 0.35 against 0.37",
        "no such weights here",
        "`cfanet evaluate lfw SRC --pairs CSV --out OUT --recognizer torchscript:ARCFACE`",
    ),
    (
        "Table 3: LPIPS",
        "0.177",
        "AlexNet's weights are not here",
        "`cfanet evaluate quality SRC --out OUT` with alexnet-owt-7be5be79.pth in $TORCH_HOME/hub/checkpoints",
    ),
    (
        "Table 3: FID",
        "2.193",
        "the Inception weights of the FID's authors are not here",
        "`fidelity --fid --input1 ORIGINALS --input2 RELEASED` of torch-fidelity, on the output of `cfanet anonymize`",
    ),
    (
        "Table 3: faces found by SSH",
        "1.0",
        "comes in no package",
        "its authors' code on the output of `cfanet anonymize`",
    ),
    (
        "Table 3: on CelebA, 24,683 pictures of 1,200 people",
        "SSIM 0.865, PSNR 21.26",
        "the pictures of CelebA that are here were trained on, so LFW takes their place",
        "`cfanet evaluate quality CELEBA --out OUT --limit 24683`",
    ),
    (
        "Figure F: 40 attributes of CelebA",
        "curve",
        "no attribute classifier here; 68 landmarks, skin tone and light are measured instead, under their own names",
        "`cfanet evaluate attributes CELEBA --out OUT --group-by Male` gives them by label",
    ),
    (
        "Figures 5 and E: videos of FaceForensics++",
        "pictures",
        "no such videos here",
        "`cfanet release VIDEOS RELEASED`, then `cfanet evaluate video VIDEOS --released RELEASED --out OUT`",
    ),
    (
        "Figure G: CelebA-HQ at 512 px",
        "pictures",
        "no data and no generator of that size here",
        "`cfanet train CONFIG` with the preset for 512 px, then `cfanet inspect IMAGE`",
    ),
)
_ABLATION = (
    "Table 4: generators without one of the losses",
    "; ".join(f"{name} LPIPS {lpips}, success {success}" for name, (lpips, success) in PAPER.items()),
    "no such generators were given",
    "`cfanet train` three times as in docs/training.md, then `cfanet evaluate ablation SRC full=A without-content=B "
    "without-identity=C --pairs CSV --out OUT`, or `--ablation full=A` and so on to `cfanet evaluate results`",
)


def not_measured_table(without_ablation: bool) -> Table:
    """All rows; Table 4 where no ablation was given."""
    rows = [list(row) for row in (*_ROWS, *((_ABLATION,) if without_ablation else ()))]
    return Table(
        "What has no number here",
        "Rows of the paper that could not be measured on this machine. Nothing stands in under the same name.",
        ("row", "paper", "why", "command that measures it elsewhere"),
        rows,
    )
