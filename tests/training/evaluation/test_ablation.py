"""Table 4 puts several generators side by side, on the same pairs."""

import json
from pathlib import Path

import pytest

from cfanet.errors import CfanetError
from cfanet.weights import default_generator_path
from training.evaluation.ablation import evaluate_ablation, read_models
from training.evaluation.bench import Request


def test_models_are_measured_side_by_side(dataset: Path, out: Path) -> None:
    file = str(default_generator_path())  # faces of random weights are not detected again
    models = read_models([f"full={file}", f"without-identity={file}"])
    path = evaluate_ablation(Request(dataset, out, ("dlib",), angle_deg=120.0), dataset / "pairs.csv", models)[0]
    document = json.loads(path.read_text())
    rows = document["tables"][0]["rows"]
    assert [(row["model"], row["success, paper"]) for row in rows] == [("full", "0.988"), ("without-identity", "0.004")]
    assert rows[0]["success"] == rows[1]["success"] and rows[0]["SSIM"] == rows[1]["SSIM"], "the same generator"
    lfw = json.loads((out / "ablation-full" / "lfw.json").read_text())
    tpr = next(t for t in lfw["tables"] if t["title"].startswith("Table 1"))["rows"][1]["pooled"]
    assert rows[0]["success"]["hits"] == tpr["n"] - tpr["hits"] and rows[0]["success"]["n"] == tpr["n"] > 0
    assert document["generators"]["full"] == document["model SHA-256"]


@pytest.mark.parametrize("entry", ["full", "=x", "full=", "a/b=x", "full=/no/such/file"])
def test_a_wrong_entry_is_refused(entry: str) -> None:
    with pytest.raises(CfanetError):
        read_models([entry])
