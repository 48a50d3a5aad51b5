import io
import json
from pathlib import Path

import pytest
import torch
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from training.journal import METRICS_FILE, Journal


def test_means_go_to_the_lines_the_file_and_the_curves(tmp_path: Path) -> None:
    text = io.StringIO()
    journal = Journal(tmp_path, 200, Console(file=text, width=200))
    for step in range(1, 101):
        journal.losses(step, {"identity": torch.tensor(1.0 if step <= 50 else float(step % 2))})
    journal.held_out(100, {"l1": 0.25}, torch.zeros(3, 8, 16, dtype=torch.uint8))
    rows = [json.loads(line) for line in (tmp_path / METRICS_FILE).read_text().splitlines()]
    assert rows == [
        {"step": 50, "kind": "loss", "identity": 1.0},
        {"step": 100, "kind": "loss", "identity": 0.5},
        {"step": 100, "kind": "held-out", "l1": 0.25},
    ]
    assert "step 100/200  loss  identity 0.500" in text.getvalue()
    curves = EventAccumulator(str(tmp_path / "tensorboard"))
    curves.Reload()
    assert [(e.step, e.value) for e in curves.Scalars("loss/identity")] == [(50, 1.0), (100, 0.5)]
    assert curves.Tags()["images"] == ["held-out"]
    assert (tmp_path / "preview.png").stat().st_size > 0


def test_without_tensorboard_the_run_goes_on_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.journal._summary_writer", lambda folder: None)
    text = io.StringIO()
    journal = Journal(tmp_path, 100, Console(file=text, width=200))
    journal.losses(50, {"identity": torch.tensor(1.0)})
    assert "TensorBoard is not installed" in text.getvalue()
    assert (tmp_path / METRICS_FILE).exists()
