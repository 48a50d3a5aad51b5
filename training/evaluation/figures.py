"""Figures of the experiments, drawn from the values beside their documents: nothing is measured here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from scipy.special import ndtri

from training.evaluation.document import Cell
from training.evaluation.figure_style import (
    INK,
    MUTED,
    colour_of,
    dashes_of,
    legend_below,
    new_figure,
    panels,
    save,
    short,
    styled,
)
from training.evaluation.quantities import Measured

Values = Mapping[str, np.ndarray]
_SMALLEST_RATE = 2e-4
_RATES = (0.001, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99, 0.999)
EXPRESSION = ("mouth opening", "eye opening", "smile (mouth width)", "smile (corner lift)", "yaw, degrees")


def draw_experiments(folder: Path, out: Path) -> list[Path]:
    """Draw what the documents in `folder` have values for; returns the files."""
    made = []
    for name, drawers in (
        ("lfw", (("similarity", similarity_histograms), ("det", det_curves), ("ranks", rank_curves))),
        ("control", (("control", control_curves),)),
        ("attributes", (("attributes", attribute_scatter),)),
    ):
        path = folder / f"{name}.npz"
        if path.is_file():
            with np.load(path, allow_pickle=False) as values:
                loaded = {key: values[key] for key in values.files}
            with styled():
                made += [drawer(loaded, out / f"{file}.png") for file, drawer in drawers]
    return made


def judges_of(values: Values, last: str) -> list[str]:
    """The recognizers that have values named `<recognizer>|…|last`, in order."""
    return list(dict.fromkeys(key.split("|")[0] for key in values if key.endswith(f"|{last}")))


def variants_of(values: Values, judge: str, last: str) -> list[str]:
    """The ways to anonymize that a recognizer has values of."""
    names = [key.split("|")[1] for key in values if key.startswith(f"{judge}|") and key.endswith(f"|{last}")]
    return [name for name in dict.fromkeys(names) if name != "raw"]


def similarity_histograms(values: Values, path: Path) -> Path:
    """Same pairs before and after, different pairs, and the threshold at FAR 1e-3."""
    judges = judges_of(values, "genuine")
    figure = new_figure(5.2 * len(judges), 3.1)
    for judge, axes in zip(judges, panels(figure, 1, len(judges))[0], strict=True):
        shown = {"different people": ("impostor", values[f"{judge}|raw|impostor"])}
        shown["same person, untouched"] = ("raw", values[f"{judge}|raw|genuine"])
        for variant in variants_of(values, judge, "genuine"):
            shown[f"same person, one anonymized: {variant}"] = (variant, values[f"{judge}|{variant}|genuine"])
        low, high = min(v.min() for _, v in shown.values()), max(v.max() for _, v in shown.values())
        bins = np.linspace(low, high, 60).tolist()
        for position, (label, (name, scores)) in enumerate(shown.items()):
            weights = np.full(len(scores), 1.0 / len(scores))
            colour = colour_of(name, position)
            axes.hist(scores, bins, weights=weights, histtype="stepfilled", color=colour, alpha=0.18)
            line = {"linewidth": 1.4, "linestyle": dashes_of(name)}
            axes.hist(scores, bins, weights=weights, histtype="step", color=colour, label=label, **line)
        threshold = _at_far(values[f"{judge}|far"], 1e-3)
        axes.axvline(threshold, color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
        axes.text(threshold, axes.get_ylim()[1], f" FAR 1e-3: {threshold:.3f}", va="bottom", fontsize=8, color=INK)
        _finish(axes, short(judge), "cosine similarity", "share of pairs")
    legend_below(figure)
    return save(figure, path)


def det_curves(values: Values, path: Path) -> Path:
    """Detection error trade-off on normal deviates: the further up a curve lies, the less an attacker recognizes."""
    judges = judges_of(values, "genuine")
    figure = new_figure(4.6 * len(judges), 4.0)
    for judge, axes in zip(judges, panels(figure, 1, len(judges))[0], strict=True):
        far, thresholds = values[f"{judge}|far"]
        for position, name in enumerate(["raw", *variants_of(values, judge, "genuine")]):
            genuine = np.sort(values[f"{judge}|{name}|genuine"])
            missed = np.searchsorted(genuine, thresholds, side="left") / len(genuine)
            inside = (far >= _SMALLEST_RATE) & (far <= 0.5)
            shown = ndtri(missed.clip(_SMALLEST_RATE, 1 - _SMALLEST_RATE)[inside])
            label = "untouched" if name == "raw" else name
            line = {"linewidth": 1.8, "linestyle": dashes_of(name), "clip_on": False}
            axes.plot(ndtri(far[inside]), shown, color=colour_of(name, position), label=label, **line)
        for ticks, labels in ((axes.set_xticks, axes.set_xticklabels), (axes.set_yticks, axes.set_yticklabels)):
            ticks(ndtri(_RATES).tolist())
            labels([f"{rate:g}" for rate in _RATES])
        axes.set_xlim(ndtri(_SMALLEST_RATE), ndtri(0.5))
        axes.set_ylim(ndtri(_SMALLEST_RATE), ndtri(1 - _SMALLEST_RATE))
        _finish(axes, short(judge), "false accept rate", "share of same pairs that are missed")
    legend_below(figure)
    return save(figure, path)


def rank_curves(values: Values, path: Path) -> Path:
    """Share of probes whose true identity is among the first so many of the gallery."""
    judges = judges_of(values, "rank after")
    figure = new_figure(4.8 * len(judges), 3.3)
    for judge, axes in zip(judges, panels(figure, 1, len(judges))[0], strict=True):
        variants = variants_of(values, judge, "rank after")
        before = values[f"{judge}|{variants[0]}|rank before"]
        shown = {"untouched, own picture left out": ("raw", before[before > 0])}
        shown |= {
            f"{name}, own original in the gallery": (name, values[f"{judge}|{name}|rank after"]) for name in variants
        }
        last = max((int(ranks.max()) for _, ranks in shown.values() if len(ranks)), default=1)
        for position, (label, (name, ranks)) in enumerate(shown.items()):
            if len(ranks):
                share = np.append(np.arange(1, len(ranks) + 1) / len(ranks), 1.0)
                line = {"linewidth": 1.8, "linestyle": dashes_of(name), "clip_on": False}
                steps = np.append(np.sort(ranks), last)
                axes.step(steps, share, where="post", color=colour_of(name, position), label=label, **line)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlim(left=0.9)
        axes.set_ylim(0, 1.02)
        _finish(axes, short(judge), "rank of the true identity", "share of probes found by then")
    legend_below(figure)
    return save(figure, path)


def control_curves(values: Values, path: Path) -> Path:
    """Similarity to the original against the angle asked: mean, and the middle nine tenths of the faces."""
    judges = judges_of(values, "similarity")
    figure = new_figure(4.6 * len(judges), 3.3)
    angles = values["angles"]
    for judge, axes in zip(judges, panels(figure, 1, len(judges))[0], strict=True):
        curves = values[f"{judge}|similarity"].reshape(len(angles), -1)
        low, high = np.quantile(curves, (0.05, 0.95), axis=1)
        axes.fill_between(angles, low, high, color=colour_of("cfa, loop on", 0), alpha=0.14, linewidth=0)
        axes.plot(angles, curves.mean(1), "o-", color=colour_of("cfa, loop on", 0), markersize=4)
        if f"{judge}|threshold" in values:
            threshold = float(values[f"{judge}|threshold"])
            axes.axhline(threshold, color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
            axes.text(
                angles[-1], threshold, f"FMR 1e-3: {threshold:.3f}", va="bottom", ha="right", fontsize=8, color=INK
            )
        axes.set_xticks(angles.tolist())
        _finish(axes, short(judge), "angle asked, degrees (loop off)", "similarity with the original")
    return save(figure, path)


def attribute_scatter(values: Values, path: Path) -> Path:
    """Expression and pose of each face, before and after."""
    variant = next(iter(dict.fromkeys(key.split("|")[0] for key in values)))
    figure = new_figure(2.6 * len(EXPRESSION), 2.7)
    for trait, axes in zip(EXPRESSION, panels(figure, 1, len(EXPRESSION))[0], strict=True):
        pairs = values[f"{variant}|{trait}"]
        pairs = pairs[~np.isnan(pairs).any(1)]
        axes.scatter(pairs[:, 0], pairs[:, 1], s=7, color=colour_of("cfa, loop on", 0), alpha=0.45, linewidths=0)
        if len(pairs):
            bounds = pairs.min(), pairs.max()
            axes.plot(bounds, bounds, color=MUTED, linewidth=1.0, linestyle=(0, (4, 3)))
        _finish(axes, trait, "original", f"released ({variant})")
    return save(figure, path)


@dataclass(frozen=True)
class MethodRow:
    """One method as one recognizer and one detector see it."""

    name: str
    matched: Cell  # TPR at FAR 1e-3
    likeness: Cell  # SSIM
    found: Cell  # share of the faces that are still found


def method_rows(rows: Sequence[MethodRow], path: Path, recognizer: str) -> Path:
    """Privacy and utility of each method, one line a method, with 95 % intervals."""
    with styled():
        figure = new_figure(9.6, 0.34 * len(rows) + 1.2)
        line = panels(figure, 1, 3)[0]
        titles = (f"TPR at FAR 1e-3, {short(recognizer)}", "SSIM inside the face box", "still found by MTCNN")
        wanted = ("← less is matched", "more like the original →", "more is found →")
        for column, (axes, title, better) in enumerate(zip(line, titles, wanted, strict=True)):
            for position, row in enumerate(rows):
                cell = (row.matched, row.likeness, row.found)[column]
                if isinstance(cell, Measured) and cell.value is not None:
                    colour = colour_of(row.name, position)
                    axes.errorbar(cell.value, position, xerr=_whiskers(cell), fmt="o", color=colour, capsize=2)
            axes.set_yticks(range(len(rows)), [row.name for row in rows] if column == 0 else [""] * len(rows))
            axes.set_ylim(len(rows) - 0.5, -0.5)
            axes.set_xlim(-0.02, 1.02)
            _finish(axes, title, better, "")
        return save(figure, path)


def _whiskers(measured: Measured) -> list[list[float]]:
    """Below and above the value, as `errorbar` wants them."""
    value = measured.value or 0.0
    low, high = (value if bound is None else bound for bound in (measured.low, measured.high))
    return [[value - low], [high - value]]


def _at_far(curve: np.ndarray, far: float) -> float:
    """The threshold of a (2, N) curve of rates and thresholds."""
    return float(np.interp(np.log10(far), np.log10(curve[0]), curve[1]))


def _finish(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
