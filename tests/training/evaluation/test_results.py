"""One command writes every table and figure, and only between its marks."""

import json
from pathlib import Path

import pytest

from cfanet.errors import InputError
from training.evaluation.bench import Request
from training.evaluation.results import BEGIN, END, ResultsPlan, evaluate_results


def test_the_marked_part_is_rewritten_and_the_rest_kept(dataset: Path, out: Path, tmp_path: Path) -> None:
    document = tmp_path / "docs" / "RESULTS.md"
    document.parent.mkdir()
    document.write_text(f"# Before\n\n{BEGIN}\nold\n{END}\n\n## After\n", encoding="utf-8")
    request = Request(dataset, out, ("dlib",), None, str(dataset / "tiny.safetensors"))
    plan = ResultsPlan(dataset / "pairs.csv", ("mask", "fixed-blur", "donor-swap"), workers=1)
    evaluate_results(request, plan, document)
    text = document.read_text(encoding="utf-8")
    assert text.startswith("# Before\n\n") and text.endswith(f"{END}\n\n## After\n") and "\nold\n" not in text
    rows = [line.split(" | ")[0].removeprefix("| ") for line in text.splitlines() if line.startswith("| ")]
    for method in ("cfa, loop on", "cfa, loop off", "mask", "fixed-blur", "donor-swap", "CFA-Net", "DeepPrivacy2"):
        assert method in rows
    assert "Table 3: FID" in text and "Published, not measured here" in text
    for name in ("methods-dlib", "before-after", "similarity", "det", "ranks", "control", "attributes", "landmarks"):
        assert f"](figures/{name}.png)" in text and (document.parent / "figures" / f"{name}.png").stat().st_size > 5_000
    lfw = json.loads((out / "methods" / "lfw-mask.json").read_text())
    tpr = next(t for t in lfw["tables"] if t["title"] == "Table 1: mask")["rows"][-2]["pooled"]
    line = next(line for line in text.splitlines() if line.startswith("| mask | dlib |"))
    assert f"({tpr['hits']} of {tpr['n']})" in line


def test_a_document_without_its_marks_is_left_alone(dataset: Path, out: Path, tmp_path: Path) -> None:
    document = tmp_path / "RESULTS.md"
    document.write_text("# Mine\n", encoding="utf-8")
    with pytest.raises(InputError, match="has no place for results"):
        evaluate_results(Request(dataset, out, ("dlib",)), ResultsPlan(dataset / "pairs.csv"), document)
    assert document.read_text(encoding="utf-8") == "# Mine\n"
