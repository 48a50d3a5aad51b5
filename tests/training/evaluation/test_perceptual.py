"""LPIPS and FID: without their weights there is a reason and no number."""

from pathlib import Path

import pytest
import torch

from training.evaluation.perceptual import ALEXNET, fid_cell, lpips_cell, lpips_missing


def test_lpips_is_measured_only_where_its_weights_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    missing = lpips_missing()
    assert missing is not None and ALEXNET in missing.reason
    assert lpips_cell([0.5], missing) is missing
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / ALEXNET).touch()
    assert lpips_missing() is None


def test_fid_is_not_measured() -> None:
    assert "weights missing" in fid_cell().reason
