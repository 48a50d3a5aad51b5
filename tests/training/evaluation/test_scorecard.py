"""The scorecard only condenses: its cells are the experiments' cells, and its verdicts know the interval."""

import json
from dataclasses import replace
from pathlib import Path

from cfanet.weights import save_generator
from tests.cfanet.tiny import spread, tiny_generator
from training.evaluation.attributes import evaluate_attributes
from training.evaluation.bench import Request
from training.evaluation.document import cells
from training.evaluation.quantities import Measured, NotMeasured, mean, proportion
from training.evaluation.scorecard import Goal, evaluate_scorecard


def test_a_verdict_is_certain_only_where_the_whole_interval_agrees() -> None:
    below = Goal(high=0.01)
    assert below.verdict(proportion(0, 1500)) == "yes" and below.verdict(proportion(0, 10)) == "yes?"
    assert below.verdict(proportion(200, 1500)) == "no" and below.verdict(proportion(1, 10)) == "no?"
    assert Goal(low=0.8, high=1.2).verdict(mean([1.0, 1.01, 0.99])) == "yes"
    assert below.verdict(NotMeasured("weights missing")) == "–"
    assert str(Goal(low=0.8, high=1.2)) == "0.8 to 1.2" and str(below) == "≤ 0.01"


def test_every_cell_is_one_of_an_experiment(dataset: Path, out: Path) -> None:
    request = Request(dataset, out, ("dlib",), 2, str(dataset / "tiny.safetensors"))
    path = evaluate_scorecard(request, dataset / "pairs.csv", everything=False, workers=1)[0]
    rows = json.loads(path.read_text())["tables"][0]["rows"]
    measured = {(row["what"], row["recognizer or detector"]): row["measured"] for row in rows}
    assert len(measured) == len(rows) > 30
    attributes = json.loads((path.parent / "attributes.json").read_text())
    match = {"trait": "smile (corner lift)"}
    ((_, smile),) = cells(attributes, "Attributes: cfa, loop on", "correlation with the original", match)
    assert measured["smile (corner lift) kept, loop on", ""]["n"] == smile.n  # type: ignore[union-attr]
    tpr = measured["TPR at FAR 1e-3, loop off, at the original's landmarks", "dlib"]
    assert tpr["n"] == 2 and tpr["hits"] is not None


def test_a_generator_whose_faces_never_pass_has_rows_without_values(dataset: Path, tmp_path: Path) -> None:
    never = {1e-2: -0.9, 1e-3: -0.9}
    save_generator(tmp_path / "never.safetensors", tiny_generator().network, spread(), never, {"steps": "0"})
    request = Request(dataset, tmp_path / "out", ("dlib",), 2, str(tmp_path / "never.safetensors"))
    path = evaluate_attributes(replace(request, loops=("on",)), ())[0]
    found = cells(json.loads(path.read_text()), "Attributes: cfa, loop on", "correlation with the original")
    assert {cell.n for _, cell in found if isinstance(cell, Measured)} == {0} and len(found) > 8
