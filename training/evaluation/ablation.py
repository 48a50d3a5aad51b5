"""Table 4: what each loss of the training is good for, from generators that were trained without it."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from cfanet.errors import ConfigError
from cfanet.weights import load_generator
from training.evaluation.bench import Bench, Request
from training.evaluation.control import evaluate_control
from training.evaluation.document import Cell, Table, as_cell, cells
from training.evaluation.lfw import evaluate_lfw
from training.evaluation.pairs import first_of_each_fold, read_pairs
from training.evaluation.parallel import run_groups
from training.evaluation.quality import evaluate_quality
from training.evaluation.quantities import Measured, proportion

PAPER = {"full": ("0.177", "0.988"), "without-content": ("0.264", "0.937"), "without-identity": ("0.083", "0.004")}
_ANGLES_DEG = (0.0, 60.0, 120.0)


def read_models(entries: list[str]) -> dict[str, str]:
    """`name=generator.safetensors` entries by name; ConfigError for one that is not of this form."""
    models: dict[str, str] = {}
    for entry in entries:
        name, found, file = entry.partition("=")
        if not name or not found or not file or "/" in name or name in models:
            raise ConfigError(f"{entry!r} is not name=generator.safetensors with a name of its own")
        load_generator(file)  # an unusable file is said now, not after the others were measured
        models[name] = file
    return models


def evaluate_ablation(
    request: Request, pairs_file: Path, models: Mapping[str, str], workers: int = 1
) -> tuple[Path, Path]:
    """Measure every model on the same pairs with the loop off, and write ablation.json and ablation.md."""
    bench = Bench(replace(request, generator=next(iter(models.values()))))
    pairs = first_of_each_fold(read_pairs(pairs_file, {s.key for s in bench.samples}), request.limit)
    keys = tuple(dict.fromkeys(pair.right for pair in pairs if pair.same))
    cache = request.cache or request.out
    groups = []
    for name, file in models.items():
        out = request.out / f"ablation-{name}"
        one = replace(request, generator=file, out=out, cache=cache, loops=("off",))
        chosen = replace(one, keys=keys)
        groups.append(
            {
                f"{name} lfw": partial(evaluate_lfw, one, pairs_file),
                f"{name} quality": partial(evaluate_quality, chosen, ("mtcnn",)),
                f"{name} control": partial(evaluate_control, chosen, _ANGLES_DEG, 1, 0.01),
            }
        )
    documents = run_groups(groups, workers)
    rows: list[list[Cell]] = []
    for name in models:
        rows += _rows(name, {kind: documents[f"{name} {kind}"] for kind in ("lfw", "quality", "control")})
    digests = {name: documents[f"{name} lfw"]["model SHA-256"] for name in models}
    trained = {name: load_generator(file).metadata.get("steps", "unknown") for name, file in models.items()}
    return bench.write("ablation", [_table(rows, bench)], {"generators": digests, "steps": trained})


def _rows(name: str, documents: Mapping[str, Mapping[str, object]]) -> list[list[Cell]]:
    """One row for each recognizer; likeness does not depend on it."""
    lfw, quality, control = (documents[kind] for kind in ("lfw", "quality", "control"))
    likeness = {m: _one(quality, "Table 3, likeness", "mean", {"measure": m, "faces": "all"}) for m in _LIKENESS}
    paper = PAPER.get(name, ("", ""))
    rows: list[list[Cell]] = []
    match = {"attacker": "detected again", "TPR at": "FAR 0.001, all pairs"}
    for row, cell in cells(lfw, "Table 1", "pooled", match):
        judge = str(row["recognizer"])
        assert isinstance(cell, Measured)
        success = proportion(cell.n - (cell.hits or 0), cell.n) if cell.n else cell
        curve = f"Similarity against angle: {judge}"
        moved: list[Cell] = [
            _one(control, curve, "mean similarity", {"angle, degrees": f"{angle:g}"}) for angle in _ANGLES_DEG
        ]
        missed = as_cell(row["failures to detect"])
        rows.append([name, judge, *likeness.values(), paper[0], success, paper[1], missed, *moved])
    return rows


_LIKENESS = ("LPIPS", "SSIM", "PSNR, dB", "sharpness, released / original")


def _one(document: Mapping[str, object], title: str, column: str, match: Mapping[str, str]) -> Cell:
    return cells(document, title, column, match)[0][1]


def _table(rows: list[list[Cell]], bench: Bench) -> Table:
    return Table(
        "Table 4: ablation",
        f"Loop off, {bench.settings.angle_deg:g}°. Success: same pairs whose right picture, anonymized and detected "
        "again by MTCNN as it comes, is no longer matched at FAR 1e-3 (1 − TPR); faces that are no longer detected are "
        "left out of it and counted apart. Likeness inside the MTCNN box. The paper's numbers are for its own data, "
        "recognizer and 40,000 steps: compare directions. Its Figure E: similarity falls with the angle only where the "
        "identity loss was on.",
        (
            "model",
            "recognizer",
            *_LIKENESS,
            "LPIPS, paper",
            "success",
            "success, paper",
            "no longer detected",
            *(f"similarity at {angle:g}°" for angle in _ANGLES_DEG),
        ),
        rows,
    )
