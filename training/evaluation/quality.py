"""Table 3: how like the original the face is inside its MTCNN box, how sharp, and whether detectors still find it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cfanet.records import Box
from training.evaluation.bench import Bench, Request, Subject
from training.evaluation.document import Cell, Table
from training.evaluation.frechet import frechet_distance
from training.evaluation.perceptual import fid_cell, lpips, lpips_cell, lpips_missing
from training.evaluation.picture_quality import SMALLEST_SIDE, gradient_magnitude, inside, ms_ssim, psnr, ssim
from training.evaluation.quantities import Measured, NotMeasured, mean, plain, proportion
from training.evaluation.samples import Photo

PAPER = {"SSIM": "0.865", "PSNR, dB": "21.26", "LPIPS": "0.177", "FID": "2.193"}
PAPER_FOUND = {"mtcnn": "0.920", "dlib-hog": "0.959"}


@dataclass(eq=False)
class Values:
    """One number a face, by name; all lists of one length."""

    replaced: list[bool] = field(default_factory=list)
    numbers: dict[str, list[float]] = field(default_factory=dict)
    before: dict[str, list[bool]] = field(default_factory=dict)  # by detector: found in the original
    after: dict[str, list[bool]] = field(default_factory=dict)  # … and in the released picture
    originals: dict[str, list[np.ndarray]] = field(default_factory=dict)  # by recognizer
    released: dict[str, list[np.ndarray]] = field(default_factory=dict)
    too_small: int = 0


def evaluate_quality(request: Request, detectors: Sequence[str]) -> tuple[Path, Path]:
    """Run the experiment and write quality.json and quality.md."""
    bench = Bench(request)
    for name in detectors:
        bench.observer.load(name)
    samples = bench.chosen()
    looks = bench.looks(samples)
    subjects = [Subject(s, looks[s.key]) for s in samples if looks[s.key].subject is not None]
    tables: list[Table] = []
    for name, loop in bench.variants():
        values = Values()
        for subject, photo, released in bench.release(bench.maker(loop, looks), subjects, name):
            box, five = subject.look.faces[subject.face].box, subject.look.faces[subject.face].landmarks
            if not _measure(values, photo, released.photo, box):
                continue
            values.replaced.append(released.replaced(subject.face))
            for detector in detectors:
                values.before.setdefault(detector, []).append(bench.observer.found(detector, photo, box))
                values.after.setdefault(detector, []).append(bench.observer.found(detector, released.photo, box))
            for judge in bench.judges:
                values.originals.setdefault(judge, []).append(bench.examiner.embed(judge, photo, five))
                values.released.setdefault(judge, []).append(bench.examiner.embed(judge, released.photo, five))
        tables += [_likeness(name, values, bench.conditions(loop)), _detection(name, values), _frechet(name, values)]
    return bench.write("quality", tables, {"pictures without a subject": len(samples) - len(subjects)})


def _measure(values: Values, original: Photo, released: Photo, box: Box) -> bool:
    """Add one face's numbers; False where the box is too small for them."""
    a, b = inside(original.picture.pixels, box), inside(released.picture.pixels, box)
    if min(a.shape[:2]) < SMALLEST_SIDE:
        values.too_small += 1
        return False
    sharp = gradient_magnitude(a)
    found = {
        "SSIM": ssim(a, b),
        "PSNR, dB": psnr(a, b),
        "MS-SSIM": ms_ssim(a, b),
        "sharpness, released / original": gradient_magnitude(b) / sharp if sharp else math.nan,
    }
    if lpips_missing() is None:
        found["LPIPS"] = lpips(a, b)
    for name, value in found.items():
        values.numbers.setdefault(name, []).append(value)
    return True


def _likeness(variant: str, values: Values, conditions: str) -> Table:
    rows: list[list[Cell]] = []
    groups = [("all", np.ones(len(values.replaced), dtype=bool)), ("replaced", np.array(values.replaced, dtype=bool))]
    for group, chosen in groups:
        for name, numbers in values.numbers.items():
            kept = [v for v, take in zip(numbers, chosen, strict=True) if take and math.isfinite(v)]
            middle = plain(float(np.median(kept)) if kept else None, len(kept))
            rows.append([name, group, mean(kept), middle, PAPER.get(name, "")])
    missing = lpips_missing()
    if missing is not None:
        rows.append(["LPIPS", "all", lpips_cell([], missing), "", PAPER["LPIPS"]])
    rows.append(["FID", "all", fid_cell(), "", PAPER["FID"]])
    return Table(
        f"Table 3, likeness: {variant}",
        "Inside the MTCNN box of each picture's subject, released file against original. SSIM and PSNR: scikit-image, "
        "Wang's Gaussian window; MS-SSIM: torchmetrics, box resized to 192 px; sharpness: mean luminance gradient. "
        "`replaced`: faces that got a new face; the others are obscured. Boxes under 11 px left out: "
        f"{values.too_small}. Infinite PSNR left out. The paper's numbers are for 24,683 pictures of CelebA. "
        f"{conditions}",
        ("measure", "faces", "mean", "median", "paper"),
        rows,
    )


def _detection(variant: str, values: Values) -> Table:
    rows: list[list[Cell]] = []
    for name in values.after:
        for group in ("all", "replaced"):
            before = [b for b, r in zip(values.before[name], values.replaced, strict=True) if r or group == "all"]
            after = [a for a, r in zip(values.after[name], values.replaced, strict=True) if r or group == "all"]
            kept = [a for a, b in zip(after, before, strict=True) if b]
            paper = PAPER_FOUND.get(name, "")
            rows.append([name, group, _share(before), _share(after), _share(kept), paper if group == "all" else ""])
    return Table(
        f"Table 3, faces still found: {variant}",
        "A face is found when a detector's box shares half of the smaller box with the original's MTCNN box. Detectors "
        "as they come: mtcnn from 20 px, dlib-hog and dlib-cnn with one doubling. Third rate: of those found before. "
        "SSH, the paper's third detector, comes in no package: not measured.",
        ("detector", "faces", "found before", "found after", "of those found before", "paper"),
        rows,
    )


def _frechet(variant: str, values: Values) -> Table:
    rows: list[list[Cell]] = []
    for name, originals in values.originals.items():
        a, b = np.stack(originals), np.stack(values.released[name])
        shuffled = np.random.default_rng(0).permutation(len(a))
        halves = a[shuffled[: len(a) // 2]], a[shuffled[len(a) // 2 :]]
        rows.append([f"Fréchet distance, {name} embedding", _distance(a, b), _distance(*halves)])
    return Table(
        f"Fréchet distance: {variant}",
        "Between the embeddings of originals and released faces, at the original's landmarks, in the named recognizer: "
        "not the FID, and not comparable with it. Last column: two random halves of the originals, what n alone does.",
        ("measure", "released to originals", "originals to originals"),
        rows,
    )


def _distance(a: np.ndarray, b: np.ndarray) -> Measured | NotMeasured:
    if min(len(a), len(b)) <= a.shape[1]:
        return NotMeasured(f"{min(len(a), len(b))} faces, more than {a.shape[1]} are needed")
    return plain(frechet_distance(a, b), min(len(a), len(b)))


def _share(flags: Sequence[bool]) -> Measured:
    return proportion(sum(flags), len(flags))
