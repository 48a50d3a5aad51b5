"""What a run tells while it goes on: lines for people, curves and grids for TensorBoard, metrics.jsonl for programs."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from training.preview import write_preview

METRICS_FILE = "metrics.jsonl"
_LINE_EVERY = 50


class Journal:
    """The record of one run, in its folder; a resumed run continues it."""

    def __init__(self, folder: Path, steps: int, console: Console) -> None:
        self._folder, self._steps, self._console = folder, steps, console
        self._values: dict[str, list[Tensor]] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self._board = _summary_writer(folder / "tensorboard")
        if self._board is None:
            console.print(f"TensorBoard is not installed (cfanet[train]): curves are in {folder / METRICS_FILE} alone")

    def losses(self, step: int, values: Mapping[str, Tensor]) -> None:
        """Note a step's loss terms; every so often their means go to the console and to TensorBoard."""
        for name, value in values.items():
            self._values.setdefault(name, []).append(value)
        if step % _LINE_EVERY == 0:
            self._write("loss", step, {name: float(torch.stack(v).mean()) for name, v in self._values.items()})
            self._values.clear()

    def held_out(self, step: int, values: dict[str, float], grid: Tensor) -> None:
        """Note metrics on held-out people and the (3, H, W) uint8 grid of their faces."""
        self._write("held-out", step, values)
        write_preview(self._folder / "preview.png", grid)
        if self._board is not None:
            self._board.add_image("held-out", grid, step)
            self._board.flush()

    def _write(self, kind: str, step: int, values: dict[str, float]) -> None:
        rounded = {name: round(value, 5) for name, value in values.items()}
        text = "  ".join(f"{name} {value:.3f}" for name, value in rounded.items())
        self._console.print(f"step {step}/{self._steps}  {kind}  {text}", highlight=False)
        with (self._folder / METRICS_FILE).open("a") as file:
            file.write(json.dumps({"step": step, "kind": kind, **rounded}) + "\n")
        if self._board is not None:
            for name, value in rounded.items():
                self._board.add_scalar(f"{kind}/{name}", value, step)
            self._board.flush()


def _summary_writer(folder: Path) -> Any:
    """TensorBoard's writer, or None where it is not installed: it is an extra."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder))
