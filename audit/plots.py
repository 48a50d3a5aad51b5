"""The report's figures as inline SVG. Colours are CSS variables of the page, so that they follow light, dark and print.

Every count of the report's JSON is drawn: axes are chosen to hold all of them.
"""

import io
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from audit.words import whole

# Drawn in these exact colours, which are then replaced by the variables of the page's style sheet.
_COLOURS = {
    "ink": "#010203",
    "muted": "#020304",
    "grid": "#030405",
    "nonmated": "#040506",
    "mated": "#050607",
    "replaced": "#060708",
    "obscured": "#070809",
    "unrecorded": "#08090a",
    "limit": "#090a0b",
}
_LABELS = {
    "nonmated": "different people",
    "mated": "same person",
    "replaced": "replaced and its original",
    "obscured": "obscured and its original",
    "unrecorded": "unrecorded and its original",
}
_SIZE_INCHES = (5.6, 3.2)
_MARGINS = {"left": 0.115, "right": 0.96, "bottom": 0.16}  # shares of the figure; a layout engine draws it twice
_LEGEND_ROW = 0.058
_NARROW = 0.7  # range of similarities up to which the finest bins are drawn
_FEW = 400  # comparisons below which bins are merged further, so that single faces do not look like noise

Series = Mapping[str, Sequence[int]]


def similarity_plot(series: Series, threshold: float | None, title: str) -> str:
    """Histograms of similarity as shares of each series, with the threshold; inline SVG.

    `series` maps nonmated, mated, replaced, obscured or unrecorded to counts in equal bins over [-1, 1].
    """
    figure, axes = _figure()
    shown = {name: np.asarray(counts) for name, counts in series.items() if sum(counts)}
    low, high = _range(list(shown.values()), threshold)
    finest = 1 if high - low <= _NARROW else 2
    for name, counts in shown.items():
        _draw_counts(axes, name, counts, finest * 2 if counts.sum() < _FEW else finest)
    if threshold is not None:
        axes.axvline(threshold, color=_COLOURS["limit"], linewidth=1.2, linestyle=(0, (5, 3)))
        axes.annotate(
            f"threshold {threshold:.3f}",
            (threshold, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(4, -2),
            textcoords="offset points",
            va="top",
            fontsize=8.5,
            color=_COLOURS["limit"],
        )
    axes.set_xlim(low, high)
    axes.set_ylim(0, 1.2 * max(axes.dataLim.y1, 1e-9) if shown else 1.0)
    axes.set_xlabel("similarity (cosine)")
    axes.set_ylabel("share per 0.02, %")
    _legend(figure, axes, 2)
    return _svg(figure, title)


def angle_plot(series: Sequence[Mapping[str, Any]], title: str) -> str:
    """Angle asked against angle seen: at every degree asked a sideways histogram of what was seen; inline SVG.

    `series` have `name` and `cells`, rows of (asked, seen, count) in whole degrees. One face is never less than a hair.
    """
    figure, axes = _figure()
    colours = ("mated", "replaced", "obscured", "unrecorded")
    asked = sorted({cell[0] for one in series for cell in one["cells"]})
    gap = min((b - a for a, b in pairwise(asked)), default=20)
    room = min(gap, 20) * 0.8 / len(series)  # degrees of the horizontal axis for one series at one angle
    axes.plot([0, 180], [0, 180], color=_COLOURS["muted"], linewidth=1, linestyle=":", label="seen = asked")
    for position, one in enumerate(series):
        cells = np.array(one["cells"], dtype=float).reshape(-1, 3)
        centre = cells[:, 0] + (position - (len(series) - 1) / 2) * room
        width = np.maximum(0.9 * room * cells[:, 2] / cells[:, 2].max(), 0.06 * room)
        label = f"{one['name']} ({whole(cells[:, 2].sum())})"
        colour = _COLOURS[colours[position % len(colours)]]
        axes.barh(cells[:, 1] + 0.5, width, 1.0, left=centre - width / 2, color=colour, linewidth=0, label=label)
    margin = max(0.6 * gap, 5)
    axes.set_xlim(min(asked, default=0) - margin, max(asked, default=180) + margin)
    if len(asked) <= 12:
        axes.set_xticks(asked)
    axes.set_ylim(0, 182)
    axes.set_yticks(range(0, 181, 30))
    axes.set_xlabel("angle asked, degrees")
    axes.set_ylabel("angle seen, degrees")
    _legend(figure, axes, 2)
    return _svg(figure, title)


def det_plot(points: Sequence[Mapping[str, Any]], title: str) -> str:
    """Detection error trade-off of untouched originals: FNMR against FMR, both logarithmic; inline SVG.

    `points` have `fmr` and `fnmr`; those without errors on one side have no place on the axes.
    """
    figure, axes = _figure()
    shown = [(p["fmr"], p["fnmr"]) for p in points if p["fnmr"]]
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis, steps in ((axes.xaxis, (1.0,)), (axes.yaxis, (1.0, 2.0, 5.0))):  # errors span a decade or two
        axis.set_major_locator(LogLocator(subs=steps))
        axis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.set_minor_locator(NullLocator())
    if shown:
        axes.plot(*zip(*shown, strict=True), color=_COLOURS["mated"], linewidth=1.6, label="untouched originals")
    axes.set_xlabel("false match rate")
    axes.set_ylabel("false non-match rate")
    _legend(figure, axes, 1)
    return _svg(figure, title)


def _draw_counts(axes: Axes, name: str, counts: npt.NDArray[np.int64], together: int) -> None:
    """One series as a stepped curve of `together` bins in one; heights are shares of the series per 0.02."""
    merged = counts.reshape(-1, together).sum(axis=1)
    edges = np.linspace(-1.0, 1.0, len(merged) + 1)
    share = 100.0 * merged / merged.sum() * (0.02 / (edges[1] - edges[0]))
    colour = _COLOURS[name]
    if name in ("nonmated", "replaced"):
        axes.stairs(share, edges, color=colour, linewidth=0, fill=True, alpha=0.30)
    style = "-" if name in ("nonmated", "replaced", "mated") else "--"
    label = f"{_LABELS[name]} ({whole(counts.sum())})"
    axes.stairs(share, edges, color=colour, linewidth=1.5, linestyle=style, label=label)


def _figure() -> tuple[Figure, Axes]:
    figure = Figure(figsize=_SIZE_INCHES)
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    figure.patch.set_alpha(0.0)
    axes.patch.set_alpha(0.0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_COLOURS["muted"])
    axes.grid(axis="y", color=_COLOURS["grid"], linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_COLOURS["muted"], length=0, labelsize=9)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(_COLOURS["muted"])
        label.set_fontsize(9)
    return figure, axes


def _legend(figure: Figure, axes: Axes, columns: int) -> None:
    """Put the legend above the axes, and leave room for its rows."""
    rows = -(-len(axes.get_legend_handles_labels()[0]) // columns)
    figure.subplots_adjust(**_MARGINS, top=0.97 - rows * _LEGEND_ROW)
    if not rows:
        return
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0.0, 1.01),
        ncols=columns,
        frameon=False,
        fontsize=8.5,
        labelcolor=_COLOURS["ink"],
        handlelength=1.4,
        columnspacing=1.2,
        borderaxespad=0.0,
    )


def _range(counts: Sequence[npt.NDArray[np.int64]], threshold: float | None) -> tuple[float, float]:
    """The part of [-1, 1] that holds every counted similarity and the threshold."""
    edges = []
    for values in counts:
        used = np.flatnonzero(values)
        edges.append((-1.0 + 2.0 * used.min() / len(values), -1.0 + 2.0 * (used.max() + 1) / len(values)))
    lows = [low for low, _ in edges] + ([threshold] if threshold is not None else [])
    highs = [high for _, high in edges] + ([threshold] if threshold is not None else [])
    if not lows:
        return -1.0, 1.0
    return max(-1.0, min(lows) - 0.05), min(1.0, max(highs) + 0.05)


def _svg(figure: Figure, title: str) -> str:
    """SVG element with text as text and colours as CSS variables; equal figures give equal bytes."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": title, "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    for name, colour in _COLOURS.items():
        text = text.replace(colour, f"var(--{name})")
    return text.replace("<svg ", '<svg role="img" class="plot" ', 1)
