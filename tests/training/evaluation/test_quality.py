"""Table 3 on real pictures: values recomputed from the pixels, and what cannot be measured says so."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from training.evaluation.bench import Request
from training.evaluation.quality import evaluate_quality


def run(dataset: Path, out: Path, method: str) -> list[dict[str, Any]]:
    request = Request(
        dataset, out, ("dlib",), limit=3, generator=str(dataset / "tiny.safetensors"), method=method, loops=("off",)
    )
    document = json.loads(evaluate_quality(request, ("mtcnn", "dlib-hog"))[0].read_text())
    return list(document["tables"])


def test_a_mask_is_unlike_flat_and_found_by_nobody(dataset: Path, out: Path) -> None:
    likeness, found, frechet = run(dataset, out, "mask")
    values = {row["measure"]: row["mean"] for row in likeness["rows"] if row["faces"] == "all"}
    assert values["SSIM"]["value"] < 0.5 and values["SSIM"]["n"] == 3
    assert values["sharpness, released / original"]["value"] < 0.3
    for row in found["rows"]:
        if row["faces"] == "all":
            assert row["found before"]["hits"] == 3 and row["found after"]["hits"] == 0
    assert "more than 128 are needed" in frechet["rows"][0]["released to originals"]["reason"]


def test_what_has_no_weights_is_not_measured(
    dataset: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    rows = {row["measure"]: row for row in run(dataset, out, "pixelate")[0]["rows"]}
    for name in ("LPIPS", "FID"):
        assert "weights missing" in rows[name]["mean"]["reason"] and "value" not in rows[name]["mean"]
