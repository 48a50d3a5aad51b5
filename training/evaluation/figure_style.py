"""How every figure of the experiments looks: one palette, one typeface, few lines."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from cfanet.records import Box, ImageArray

INK, MUTED, GRID = "#1d2733", "#6b7785", "#e3e7ec"
COLOURS = {"raw": "#2a9d8f", "impostor": "#9aa5b1", "cfa, loop on": "#b23a62", "cfa, loop off": "#e08e45"}
MORE = ("#3d5a98", "#7b9e57", "#8f6bb0", "#c2a83e", "#4fa3b8", "#a0624a", "#5c6670", "#d17fa5", "#6aa388")
_CONTEXT = 0.8  # surroundings of a face that are shown, in face sizes, both sides together
_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.titlelocation": "left",
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "savefig.dpi": 130,
    "figure.facecolor": "white",
}


def colour_of(name: str, position: int) -> str:
    """The colour of a variant, the same in every figure; others take the next of the palette."""
    return COLOURS.get(name, MORE[position % len(MORE)])


def dashes_of(name: str) -> Any:
    """Dashes where another curve may lie under this one."""
    return (0, (4, 2)) if name.endswith("loop off") else "solid"


def styled() -> AbstractContextManager[None]:
    """Everything that is drawn inside looks like this."""
    return rc_context(_STYLE)


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches."""
    return Figure(figsize=(width, height), layout="constrained")


def panels(figure: Figure, rows: int, columns: int) -> list[list[Axes]]:
    """A grid of axes."""
    return [[figure.add_subplot(rows, columns, r * columns + c + 1) for c in range(columns)] for r in range(rows)]


def legend_below(figure: Figure) -> None:
    """One legend for all panels, under them."""
    entries: dict[str, Artist] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    figure.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=min(2, len(entries)))


def save(figure: Figure, path: Path) -> Path:
    """Write the figure as PNG of 256 colours: grids of photographs are a third of the size, and look the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    with Image.open(path) as drawn:
        few = drawn.convert("RGB").quantize(256)
    few.save(path, optimize=True)
    return path


def short(recognizer: str) -> str:
    """A recognizer's name as a person would say it."""
    return recognizer.removeprefix("torchscript:").partition(".")[0]


def cut(image: ImageArray, box: Box, side: int = 220) -> ImageArray:
    """A square around a face, `side` pixels wide; inside the picture as far as it goes."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    half = min((0.5 + _CONTEXT / 2) * max(box[2] - box[0], box[3] - box[1]), min(image.shape[:2]) / 2)
    left = round(float(np.clip(x - half, 0, image.shape[1] - 2 * half)))
    top = round(float(np.clip(y - half, 0, image.shape[0] - 2 * half)))
    window = Image.fromarray(image).crop((left, top, left + round(2 * half), top + round(2 * half)))
    return np.array(window.resize((side, side), Image.Resampling.LANCZOS))


def picture_grid(cells: Sequence[Sequence[ImageArray]], columns: Sequence[str], rows: Sequence[str]) -> Figure:
    """Pictures in rows and columns with their names; all (H, W, 3) uint8 RGB."""
    return picture_blocks([(cells, columns)], rows)


def picture_blocks(
    blocks: Sequence[tuple[Sequence[Sequence[ImageArray]], Sequence[str]]], rows: Sequence[str] = ()
) -> Figure:
    """Grids of pictures under one another, each with the names of its columns; `rows` name all their rows."""
    cells = [line for block, _ in blocks for line in block]
    titles = [columns if r == 0 else () for block, columns in blocks for r in range(len(block))]
    width = max(len(columns) for _, columns in blocks)
    figure = new_figure(1.55 * width + 0.5, 1.55 * len(cells) + 0.35 * len(blocks))
    for r, line in enumerate(panels(figure, len(cells), width)):
        for axes in line[len(cells[r]) :]:
            axes.set_axis_off()
        for c, axes in enumerate(line[: len(cells[r])]):
            axes.imshow(cells[r][c], interpolation="lanczos")
            axes.set_xticks([])
            axes.set_yticks([])
            axes.grid(False)
            for spine in axes.spines.values():
                spine.set_visible(False)
            if titles[r]:
                axes.set_title(titles[r][c], loc="center", fontsize=8.5)
        if rows:
            line[0].set_ylabel(rows[r], fontsize=8.5)
    return figure
