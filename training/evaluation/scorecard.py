"""One table of what a generator must reach, condensed from the documents of the single experiments.

Nothing is measured here: each row names the experiment, the table and the cell it was read from.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from cfanet.weights import load_generator
from training.evaluation.attributes import evaluate_attributes
from training.evaluation.bench import Request
from training.evaluation.control import evaluate_control
from training.evaluation.diversity import evaluate_diversity
from training.evaluation.document import Cell, Table, as_cell, cells, write_document
from training.evaluation.lfw import LISTED, evaluate_lfw, prepare_lfw
from training.evaluation.originals import prepare_originals
from training.evaluation.pairs import first_of_each_fold, read_pairs
from training.evaluation.parallel import Group, run_groups
from training.evaluation.quality import evaluate_quality
from training.evaluation.quantities import Measured
from training.evaluation.samples import list_samples, list_shards

Document = Mapping[str, Any]
ANGLES_DEG = (0.0, 30.0, 60.0, 90.0, 120.0)
_IDENTITIES = 8
_DIVERSITY_SHARE = 5  # one face in so many also gets eight identities …
_MOST_DIVERSITY = 100  # … and of a large set no more than these
_MOST_CONTROL = 300  # faces that are moved by every angle
EXPRESSION = ("mouth opening", "eye opening", "smile (mouth width)", "smile (corner lift)")


@dataclass(frozen=True)
class Goal:
    """What has to be reached: a bound on a value."""

    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        """For people: ≤ 0.01, ≥ 0.9, 0.8 to 1.2."""
        if self.low is not None and self.high is not None:
            return f"{self.low:g} to {self.high:g}"
        return f"≥ {self.low:g}" if self.low is not None else f"≤ {self.high:g}"

    def verdict(self, cell: Cell) -> str:
        """`yes` or `no` where the whole interval agrees, else `yes?` or `no?`: more faces would tell."""
        if not isinstance(cell, Measured) or cell.value is None:
            return "–"
        reached = self._holds(cell.value)
        bounds = [bound for bound in (cell.low, cell.high) if bound is not None]
        certain = all(self._holds(bound) == reached for bound in bounds)
        return ("yes" if reached else "no") + ("" if certain else "?")

    def _holds(self, value: float) -> bool:
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


def evaluate_scorecard(request: Request, pairs_file: Path, everything: bool, workers: int) -> tuple[Path, Path]:
    """Run all experiments on the right pictures of `limit` same pairs (`everything`: of all), and condense them.

    Documents lie in a folder of `out` named after the generator, so that generators can be compared; the cache is
    shared. With two `workers` the experiments run in two processes.
    """
    prepare_originals(request, workers)
    plan = plan_experiments(request, pairs_file, everything)
    prepare_lfw(plan.request, pairs_file, workers)
    return condense(request, run_groups(plan.groups, workers), plan.out, len(plan.keys))


@dataclass(frozen=True)
class Experiments:
    """What a scorecard is made of."""

    out: Path  # where the documents will lie
    keys: tuple[str, ...]  # the pictures
    request: Request  # of those that make the pictures of all pairs
    groups: list[Group]  # the longest first


def plan_experiments(request: Request, pairs_file: Path, everything: bool) -> Experiments:
    """The experiments of a scorecard; those on all pairs share their pictures (`prepare_lfw` makes them)."""
    known = {sample.key for sample in list_samples(list_shards(request.source))}
    limit = None if everything else request.limit
    pairs = first_of_each_fold(read_pairs(pairs_file, known), limit)
    keys = tuple(dict.fromkeys(pair.right for pair in pairs if pair.same))
    out = request.out / f"generator-{load_generator(request.generator).digest[:8]}"
    base = replace(request, out=out, cache=request.cache or request.out, limit=limit, loops=("on", "off"))
    base = replace(base, whole_gallery=True)
    chosen = replace(base, keys=keys)
    moved = replace(base, keys=keys[:_MOST_CONTROL], loops=("off",))
    few = replace(base, keys=keys[::_DIVERSITY_SHARE][:_MOST_DIVERSITY], loops=("off",))
    groups: list[Group] = [
        {"control": partial(evaluate_control, moved, ANGLES_DEG, 1, 0.01)},
        {"quality": partial(evaluate_quality, chosen, ("mtcnn", "dlib-hog"))},
        {"diversity": partial(evaluate_diversity, few, _IDENTITIES)},
        {"attributes": partial(evaluate_attributes, chosen, ())},
        {"lfw": partial(evaluate_lfw, base, pairs_file)},
    ]
    return Experiments(out, keys, base, groups)


def condense(request: Request, documents: Mapping[str, Document], out: Path, n_faces: int) -> tuple[Path, Path]:
    """Write scorecard.json and scorecard.md from the experiments' documents."""
    rows = [*_recognition(documents), *_likeness(documents), *_control(documents)]
    rows += [*_kept(documents), *_people(documents)]
    table = Table(
        "Scorecard",
        f"{n_faces} faces. Each cell is a cell of the named experiment's document beside this file, where protocol "
        "and data are written. Reached: yes? and no? where the 95 % interval holds both answers. Thresholds, searches "
        "and the loop's gallery are of all pictures of the data, as in a release. "
        f"{len(documents['lfw']['raw pictures without a subject'])} pictures show no clear face.",
        ("what", "recognizer or detector", "paper", "to reach", "measured", "reached", "experiment"),
        rows,
    )
    generator = load_generator(request.generator)
    facts = {
        "experiment": "cfanet evaluate scorecard",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "generator SHA-256": generator.digest,
        "steps": generator.metadata.get("steps", "unknown"),
        "data SHA-256": documents["lfw"]["data SHA-256"],
        "faces": n_faces,
        "seed": request.seed,
    }
    return write_document(out, "scorecard", facts, [table])


def _row(what: str, who: str, paper: str, goal: Goal | None, source: tuple[Cell, str]) -> list[Cell]:
    cell, experiment = source
    return [what, who, paper, str(goal) if goal else "report", cell, goal.verdict(cell) if goal else "", experiment]


def _recognition(documents: Mapping[str, Document]) -> list[list[Cell]]:
    """The raw recognizers, and TPR at FAR 1e-3 with the loop on and off, for both attackers."""
    rows: list[list[Cell]] = []
    document = documents["lfw"]
    measures = {"accuracy, best threshold of the other folds": "accuracy", LISTED: "TPR at FAR 1e-3 of these pairs"}
    for measure, name in measures.items():
        for row, cell in cells(document, "Raw pictures", "pooled", {"measure": measure}):
            known = f" (known: {row['known']})" if row["known"] else ""
            what = f"untouched pairs, {name}{known}"
            rows.append(_row(what, row["recognizer"], row["paper"], None, (cell, "lfw, raw pictures")))
    for loop, high in (("on", 0.010), ("off", 0.05)):
        for attacker in ("detected again", "at the original's landmarks"):
            match = {"attacker": attacker, "TPR at": "FAR 0.001, all pairs"}
            for row, cell in cells(document, f"Table 1: cfa, loop {loop}", "pooled", match):
                what = f"TPR at FAR 1e-3, loop {loop}, {attacker}"
                rows.append(_row(what, row["recognizer"], "0.012 / 0.010", Goal(high=high), (cell, "lfw, Table 1")))
    return rows


def _likeness(documents: Mapping[str, Document]) -> list[list[Cell]]:
    rows: list[list[Cell]] = []
    goals = {
        "SSIM": Goal(low=0.87),
        "PSNR, dB": Goal(low=21.5),
        "sharpness, released / original": Goal(low=0.8, high=1.2),
    }
    found_goals = {"mtcnn": Goal(low=0.98), "dlib-hog": Goal(low=0.97)}
    for loop, group in (("on", "all"), ("on", "replaced"), ("off", "all")):
        for measure, goal in goals.items():
            title = f"Table 3, likeness: cfa, loop {loop}"
            for row, cell in cells(documents["quality"], title, "mean", {"measure": measure, "faces": group}):
                what = f"{measure} in the MTCNN box, loop {loop}, {group} faces"
                rows.append(_row(what, "", row["paper"], goal, (cell, "quality, Table 3")))
        title = f"Table 3, faces still found: cfa, loop {loop}"
        for name, goal in found_goals.items():
            for row, cell in cells(
                documents["quality"], title, "of those found before", {"detector": name, "faces": group}
            ):
                what = f"still found, loop {loop}, {group} faces"
                rows.append(_row(what, name, row["paper"], goal, (cell, "quality, Table 3")))
    return rows


def _control(documents: Mapping[str, Document]) -> list[list[Cell]]:
    """Similarity by angle, and how linear it is."""
    rows: list[list[Cell]] = []
    document = documents["control"]
    title, goal = "Linearity", Goal(high=-0.97)
    for row, cell in cells(document, title, "r of the means"):
        what = "Pearson's r of mean similarity and angle, 0 to 120°"
        rows.append(_row(what, row["recognizer"], "almost linear", goal, (cell, "control")))
        falling = str(row["mean strictly falling"])
        rows.append(["mean strictly falling", row["recognizer"], "", "yes", falling, falling, "control"])
    for table in document["tables"]:
        if not table["title"].startswith("Similarity against angle"):
            continue
        name = table["title"].partition(": ")[2]
        for angle in ANGLES_DEG:
            for _, cell in cells(document, table["title"], "mean similarity", {"angle, degrees": f"{angle:g}"}):
                rows.append(_row(f"similarity at {angle:g}°, loop off", name, "", None, (cell, "control")))
    return rows


def _kept(documents: Mapping[str, Document]) -> list[list[Cell]]:
    rows: list[list[Cell]] = []
    column = "correlation with the original"
    for loop in ("on", "off"):
        title = f"Attributes: cfa, loop {loop}"
        for trait in EXPRESSION:
            for row, cell in cells(documents["attributes"], title, column, {"trait": trait}):
                rows.append(_row(f"{trait} kept, loop {loop}", "", _mirror(row), Goal(low=0.9), (cell, "attributes")))
        pose = "largest of yaw, pitch, roll, degrees"
        for row, cell in cells(documents["attributes"], title, "mean absolute difference", {"trait": pose}):
            goal = Goal(high=3.0)
            rows.append(_row(f"head pose, degrees, loop {loop}", "", _mirror(row), goal, (cell, "attributes")))
    return rows


def _mirror(row: Mapping[str, Any]) -> str:
    """What the paper's column says of a trait: nothing but how well it can be measured at all."""
    floor = as_cell(row["original against its mirror image"])
    return f"(own mirror image: {floor.value:.2f})" if isinstance(floor, Measured) and floor.value is not None else ""


def _people(documents: Mapping[str, Document]) -> list[list[Cell]]:
    """Best matches in the gallery, and eight identities of one face."""
    rows: list[list[Cell]] = []
    document = documents["lfw"]
    for table in document["tables"]:
        kind, _, rest = table["title"].partition(": ")
        if kind != "Table 2, best match in the gallery":
            continue
        variant, _, judge = rest.partition(", loop ")
        loop, _, judge = judge.partition(", ")
        for best, goal in (("after, anyone", Goal(low=0.99)), ("untouched, other people", None)):
            for row, cell in cells(document, table["title"], "below the threshold", {"best match": best}):
                what = f"best match below the threshold, {variant}, loop {loop}, {best}"
                rows.append(_row(what, judge, "5 people", goal, (cell, "lfw, Table 2")))
                margin = next(str(value) for name, value in row.items() if name.startswith("margin"))
                if goal:
                    rows.append([f"margin at quantiles 1/5/25/50/75/95/99 %, loop {loop}", judge, "0.02 to 0.04",
                                 "report", margin, "", "lfw, Table 2"])  # fmt: skip
    for row, cell in cells(documents["diversity"], "Diversity", "pairs below the threshold"):
        what = f"{_IDENTITIES} identities of one face, pairs below the threshold"
        rows.append(_row(what, row["recognizer"], "pictures", Goal(low=0.9), (cell, "diversity")))
    return rows
