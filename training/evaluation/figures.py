"""Figures of the experiments, drawn from the values beside their documents: nothing is measured here."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from scipy.stats import norm

from training.evaluation.figure_style import (
    GRID,
    INK,
    MUTED,
    colour_of,
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
            axes.hist(scores, bins, weights=weights, histtype="step", color=colour, linewidth=1.4, label=label)
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
            shown = norm.ppf(missed.clip(_SMALLEST_RATE, 1 - _SMALLEST_RATE)[inside])
            label = "untouched" if name == "raw" else name
            axes.plot(norm.ppf(far[inside]), shown, color=colour_of(name, position), linewidth=1.8, label=label)
        for ticks, labels in ((axes.set_xticks, axes.set_xticklabels), (axes.set_yticks, axes.set_yticklabels)):
            ticks(norm.ppf(_RATES).tolist())
            labels([f"{rate:g}" for rate in _RATES])
        axes.set_xlim(norm.ppf(_SMALLEST_RATE), norm.ppf(0.5))
        axes.set_ylim(norm.ppf(_SMALLEST_RATE), norm.ppf(1 - _SMALLEST_RATE))
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
        for position, (label, (name, ranks)) in enumerate(shown.items()):
            if len(ranks):
                share = np.arange(1, len(ranks) + 1) / len(ranks)
                axes.step(np.sort(ranks), share, where="post", color=colour_of(name, position), label=label)
        axes.set_xscale("log")
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


def method_plane(rows: Sequence[tuple[str, Measured, Measured]], path: Path, recognizer: str) -> Path:
    """Privacy against utility: TPR at FAR 1e-3 and SSIM of each method, with 95 % intervals."""
    with styled():
        figure = new_figure(6.2, 4.2)
        axes = panels(figure, 1, 1)[0][0]
        for position, (name, tpr, likeness) in enumerate(rows):
            if tpr.value is None or likeness.value is None:
                continue
            colour = colour_of(name, position)
            x, y = _whiskers(likeness), _whiskers(tpr)
            axes.errorbar(likeness.value, tpr.value, xerr=x, yerr=y, fmt="o", color=colour, markersize=5, capsize=2)
            axes.annotate(f" {name}", (likeness.value, tpr.value), fontsize=8, color=INK, va="bottom")
        axes.set_yscale("symlog", linthresh=0.01)
        axes.set_ylim(bottom=-0.001)
        axes.axhline(0.01, color=GRID, linewidth=1.5)
        title = f"Methods, judged by {short(recognizer)}"
        _finish(axes, title, "SSIM inside the face box", "TPR at FAR 1e-3")
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
