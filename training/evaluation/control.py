"""Figures 3 and B–D: similarity to the original against the angle that was asked, by recognizer, with the loop off."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cfanet.errors import ConfigError
from training.evaluation.bench import Bench, Request
from training.evaluation.document import Cell, Table
from training.evaluation.figure_style import cut, picture_grid, save, styled
from training.evaluation.quantities import Measured, NotMeasured, correlation, mean, plain, proportion

Curves = npt.NDArray[np.float64]
"""(angles, identities, faces) similarities to the own original."""
_FMR = 1e-3
_LINEAR_UP_TO_DEG = 120.0
_SHOWN = 10  # faces in the picture beside the document


def evaluate_control(
    request: Request, angles_deg: Sequence[float], identities: int, target_tpr: float
) -> tuple[Path, Path]:
    """Run the experiment and write control.json, .md, .npz and a picture of some faces, private as the data is."""
    if request.method != "cfa":
        raise ConfigError(f"method {request.method!r} has no angle: evaluate control needs cfa")
    bench = Bench(request)
    samples = bench.chosen()
    subjects = bench.subjects(samples)
    angles = sorted(set(angles_deg))
    shown = [[cut(s.sample.photo().picture.pixels, s.look.faces[s.face].box)] for s in subjects[:_SHOWN]]
    curves = {judge: np.zeros((len(angles), identities, len(subjects))) for judge in bench.judges}
    for i, angle in enumerate(angles):
        for j in range(identities):
            maker = bench.maker("off", {}, angle, seed=j)
            what = f"{angle:g}°, identity {j + 1} of {identities}"
            for k, (subject, photo, released) in enumerate(bench.release(maker, subjects, what)):
                five, box = subject.look.faces[subject.face].landmarks, subject.look.faces[subject.face].box
                if j == 0 and k < len(shown):
                    shown[k].append(cut(released.photo.picture.pixels, box))
                for judge in bench.judges:
                    before = bench.examiner.embed(judge, photo, five).astype(np.float64)
                    curves[judge][i, j, k] = before @ bench.examiner.embed(judge, released.photo, five)
    thresholds = {judge: bench.examiner.recognizers[judge].threshold(_FMR) for judge in bench.judges}
    tables = [_curve(name, angles, curves[name], thresholds[name]) for name in bench.judges]
    tables.append(_summary(angles, curves, thresholds, target_tpr))
    notes = {"pictures without a subject": len(samples) - len(subjects), "identities per face and angle": identities}
    if shown:
        with styled():
            grid = picture_grid(shown, ["original", *(f"{angle:g}°" for angle in angles)], [])
            save(grid, request.out / "control-faces.png")
    drawn = {"angles": np.array(angles), **{f"{name}|similarity": curves[name] for name in bench.judges}}
    drawn |= {f"{name}|threshold": np.array(threshold) for name, threshold in thresholds.items()}
    return bench.write("control", tables, notes, drawn)


def angle_reaching(angles_deg: Sequence[float], tpr: Sequence[float], target: float) -> float | None:
    """The smallest angle from which on the TPR stays at or below `target`, linearly between the measured angles."""
    above = [i for i, value in enumerate(tpr) if value > target]
    if not above:
        return float(angles_deg[0])
    last = above[-1]
    if last == len(tpr) - 1:
        return None
    share = (tpr[last] - target) / (tpr[last] - tpr[last + 1])
    return float(angles_deg[last] + share * (angles_deg[last + 1] - angles_deg[last]))


def _curve(name: str, angles: Sequence[float], curves: Curves, threshold: float) -> Table:
    rows: list[list[Cell]] = []
    for angle, values in zip(angles, curves, strict=True):
        by_face = values.mean(axis=0)  # identities of one face are not independent
        between = plain(float(values.std(axis=0).mean()), len(by_face)) if len(values) > 1 else "one identity"
        accepted = proportion(int((values >= threshold).sum()), values.size)
        rows.append([f"{angle:g}", mean(by_face.tolist()), between, accepted])
    return Table(
        f"Similarity against angle: {name}",
        "Loop off. Released picture against its own original, at the original's landmarks. Interval over faces, each "
        f"the mean of its identities. Accepted: at or above {threshold:.4f}, the recognizer's threshold at FMR "
        f"{_FMR:g}; its interval takes identities of one face as independent. At 0° the face is only re-generated.",
        ("angle, degrees", "mean similarity", "sd between identities of one face", "accepted as the original"),
        rows,
    )


def _summary(
    angles: Sequence[float], curves: Mapping[str, Curves], thresholds: Mapping[str, float], target: float
) -> Table:
    rows: list[list[Cell]] = []
    used = [i for i, angle in enumerate(angles) if angle <= _LINEAR_UP_TO_DEG]
    asked = np.array([angles[i] for i in used])
    for name, all_curves in curves.items():
        part = all_curves[used]
        means = part.mean(axis=(1, 2))
        points = correlation(np.repeat(asked, part[0].size).tolist(), part.ravel().tolist())
        tpr = [float((values >= thresholds[name]).mean()) for values in all_curves]
        reached = angle_reaching(angles, tpr, target)
        cell: Measured | NotMeasured = (
            NotMeasured(f"not reached up to {angles[-1]:g}°") if reached is None else plain(reached, all_curves[0].size)
        )
        falling = "yes" if bool((np.diff(means) < 0).all()) else "no"
        rows.append([name, correlation(asked.tolist(), means.tolist()), points, falling, cell, "almost linear"])
    return Table(
        "Linearity, and the angle that is needed",
        f"Pearson's r of similarity and angle, 0 to {_LINEAR_UP_TO_DEG:g}°: of the means, and of all single faces; "
        "Fisher's intervals take the points as independent, which those of one face are not. "
        f"Angle: from there on at most {target:g} of the faces are accepted as their original. "
        "Paper: Figures 3 and B to D, ArcFace.",
        (
            "recognizer",
            "r of the means",
            "r of all faces",
            "mean strictly falling",
            f"angle for TPR {target:g}, degrees",
            "paper",
        ),
        rows,
    )
