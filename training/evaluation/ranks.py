"""Table 2: where the true identity comes in a search of everybody, and whom an anonymized face resembles most."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.evaluation.document import Cell, Table
from training.evaluation.protocol import rank_of
from training.evaluation.quantities import Measured, mean, plain, proportion

_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


@dataclass(frozen=True, eq=False)
class Probe:
    """One picture before and after."""

    key: str
    person: str
    before: np.ndarray  # (d,) unit-norm
    after: np.ndarray  # (d,) unit-norm


@dataclass(frozen=True)
class Found:
    """What a search with one probe says."""

    rank: int | None  # of the person's best other picture; None where there is none
    rank_own: int  # of the person's best picture, the anonymized one's own original included
    best_anyone: float  # similarity of the best match among all references, own original included
    best_stranger: float  # … among other people


def search_probe(
    probe: np.ndarray, key: str, person: str, references: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> Found:
    """Compare (d,) with all references: keys (N,), people (N,), embeddings (N, d); the own original has `key`."""
    keys, people, rows = references
    similarities = rows.astype(np.float64) @ probe.astype(np.float64)
    own = keys == key
    mates = (people == person) | own
    others = ~own
    rank = rank_of(similarities[others], mates[others]) if mates[others].any() else None
    strangers = similarities[~mates]
    best = float(strangers.max()) if len(strangers) else float("nan")
    return Found(rank, rank_of(similarities, mates), float(similarities.max()), best)


@dataclass(frozen=True)
class Searches:
    """What the searches with all probes say, before and after, in one order."""

    before: tuple[Found, ...]
    after: tuple[Found, ...]
    n_references: int
    n_people: int


def search_all(probes: Sequence[Probe], keys: Sequence[str], people: Sequence[str], rows: np.ndarray) -> Searches:
    """Search with every probe, before and after, in the same references."""
    references = (np.array(keys), np.array(people), rows)
    before = tuple(search_probe(p.before, p.key, p.person, references) for p in probes)
    after = tuple(search_probe(p.after, p.key, p.person, references) for p in probes)
    return Searches(before, after, len(keys), len(set(people)))


def rank_tables(title: str, searches: Searches, threshold: float, conditions: str = "") -> list[Table]:
    """Ranks before and after over all probes, and their best matches against `threshold`.

    `conditions` say how the probes were anonymized.
    """
    return [_ranks(title, searches), _matches(title, searches, threshold, conditions)]


def _ranks(title: str, searches: Searches) -> Table:
    before, after = searches.before, searches.after
    ranked = [(b.rank, a.rank) for b, a in zip(before, after, strict=True) if b.rank is not None and a.rank is not None]
    sets = (
        ("before, own picture left out", [b for b, _ in ranked], "1"),
        ("after, own original left out", [a for _, a in ranked], "787 to 4,619"),
        ("after, own original in the gallery", [a.rank_own for a in after], ""),
    )
    rows: list[list[Cell]] = [
        [
            name,
            proportion(sum(r == 1 for r in ranks), len(ranks)),
            proportion(sum(r > 100 for r in ranks), len(ranks)),
            mean(ranks),
            _quantile(ranks, 0.5),
            paper,
        ]
        for name, ranks, paper in sets
    ]
    return Table(
        f"Table 2, ranks: {title}",
        f"Every probe searched among all {searches.n_references:,} raw pictures of {searches.n_people:,} people; "
        "the rank is that of the true person's best picture. Probes whose person has no other picture count only where "
        "the own original is in the gallery. Embedded at the original's landmarks. "
        "Paper: mean ranks of five people, ArcFace.",
        ("probe", "rank 1", "rank above 100", "mean rank", "median rank", "paper"),
        rows,
    )


def _matches(title: str, searches: Searches, threshold: float, conditions: str) -> Table:
    sets = (
        ("after, anyone", [a.best_anyone for a in searches.after], "0.33 to 0.35 against 0.37, five people"),
        ("after, other people", [a.best_stranger for a in searches.after], ""),
        ("untouched, other people", [b.best_stranger for b in searches.before], ""),
    )
    rows: list[list[Cell]] = []
    for name, values, paper in sets:
        best = np.array([value for value in values if not np.isnan(value)])
        margins = " / ".join(f"{threshold - q:+.3f}" for q in np.quantile(best, _QUANTILES)) if len(best) else "–"
        rows.append([name, proportion(int((best < threshold).sum()), len(best)), mean(best.tolist()), margins, paper])
    quantiles = " / ".join(f"{q:g}" for q in _QUANTILES)
    return Table(
        f"Table 2, best match in the gallery: {title}",
        f"Similarity of the best match among {searches.n_references:,} raw pictures against the threshold "
        f"{threshold:.4f} (FAR 1e-3 of one comparison, all impostor pairs). The last row is what an untouched picture "
        "of somebody else does: a search makes as many comparisons as there are pictures. Margin: threshold − "
        "similarity, positive is below. Paper: ArcFace. "
        f"{conditions}",
        ("best match", "below the threshold", "mean similarity", f"margin at quantiles {quantiles}", "paper"),
        rows,
    )


def _quantile(values: Sequence[int] | npt.NDArray[np.float64], q: float) -> Measured:
    return plain(float(np.quantile(values, q)) if len(values) else None, len(values))
