"""Verification by similarity: thresholds at a false accept rate, the folds of LFW, ranks. Pure functions on scores."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
_BLOCK = 1_024


@dataclass(frozen=True, eq=False)
class FoldScores:
    """Scores of verification pairs; NaN where a face was not found."""

    similarity: Scores  # (P,)
    same: Flags  # (P,)
    fold: npt.NDArray[np.int64]  # (P,)


@dataclass(frozen=True)
class FoldThresholds:
    """One threshold per fold, from the impostor pairs of all other folds."""

    by_fold: tuple[tuple[int, float], ...]
    n_impostors: int  # in the smallest training part


def threshold_at_far(impostors: Scores, far: float) -> float:
    """The smallest threshold t with share(impostor ≥ t) ≤ far; (N,) → t. ValueError without impostors.

    At most floor(far·N) impostors reach it. Where far·N < 1 that is none of them, and t lies just above the largest.
    """
    if not len(impostors):
        raise ValueError("no impostor pairs: a threshold at a false accept rate needs some")
    allowed = int(np.floor(far * len(impostors) + 1e-9))
    if allowed >= len(impostors):
        return float(impostors.min())
    refused = np.partition(impostors, len(impostors) - allowed - 1)[len(impostors) - allowed - 1]
    return float(np.nextafter(refused, np.inf))


def impostor_scores(embeddings: npt.NDArray[np.floating], people: Sequence[str]) -> Scores:
    """Cosine similarities of all pairs of different people; (N, d) and N names → (M,). Unlabelled faces have no pair.

    Holds all of them: 8 bytes each, 60 MB for 4,000 faces.
    """
    labelled = [i for i, name in enumerate(people) if name]
    names = np.array([people[i] for i in labelled])
    rows = np.asarray(embeddings, dtype=np.float64)[labelled]
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(1e-12) if len(rows) else rows
    found = [np.empty(0)]
    for start in range(0, len(rows), _BLOCK):
        stop = min(start + _BLOCK, len(rows))
        scores = rows[start:stop] @ rows[start:].T
        later = np.arange(start, len(rows))[None, :] > np.arange(start, stop)[:, None]
        found.append(scores[later & (names[start:stop, None] != names[None, start:])])
    return np.concatenate(found)


def fold_thresholds(pairs: FoldScores, far: float) -> FoldThresholds:
    """The paper's protocol: a fold's threshold comes from the raw impostor pairs of all other folds."""
    valid = ~np.isnan(pairs.similarity) & ~pairs.same
    folds = np.unique(pairs.fold)
    parts = {int(fold): pairs.similarity[valid & (pairs.fold != fold)] for fold in folds}
    return FoldThresholds(
        tuple((fold, threshold_at_far(scores, far)) for fold, scores in parts.items()),
        min(len(scores) for scores in parts.values()),
    )


def accepted_by_fold(genuine: FoldScores, thresholds: FoldThresholds) -> list[tuple[int, int]]:
    """(accepted, found) mated pairs of each fold; pairs with a face that was not found are in neither."""
    counts = []
    for fold, threshold in thresholds.by_fold:
        scores = genuine.similarity[(genuine.fold == fold) & genuine.same]
        scores = scores[~np.isnan(scores)]
        counts.append((int((scores >= threshold).sum()), len(scores)))
    return counts


def fold_accuracies(pairs: FoldScores) -> list[tuple[int, int]]:
    """(right, found) of each fold at the threshold that is best on all other folds (LFW's own measure)."""
    valid = ~np.isnan(pairs.similarity)
    counts = []
    for fold in np.unique(pairs.fold):
        training, testing = valid & (pairs.fold != fold), valid & (pairs.fold == fold)
        threshold = best_threshold(pairs.similarity[training], pairs.same[training])
        right = (pairs.similarity[testing] >= threshold) == pairs.same[testing]
        counts.append((int(right.sum()), int(testing.sum())))
    return counts


def best_threshold(scores: Scores, same: Flags) -> float:
    """The threshold with the most right decisions on (P,) scores; the middle of the gap that it lies in."""
    order = np.argsort(scores)
    ranked, mates = scores[order], same[order]
    # Cut before position k: everything from k on is accepted.
    right = np.concatenate([[0], np.cumsum(~mates)]) + np.concatenate([np.cumsum(mates[::-1])[::-1], [0]])
    cuts = np.concatenate([[True], ranked[1:] > ranked[:-1], [True]])  # equal scores cannot be separated
    cut = int(np.argmax(np.where(cuts, right, -1)))
    if cut == 0:
        return float(ranked[0])
    if cut == len(ranked):
        return float(np.nextafter(ranked[-1], np.inf))
    return float((ranked[cut - 1] + ranked[cut]) / 2.0)


def rank_of(similarities: Scores, mates: Flags) -> int:
    """Rank of the best mate among (N,) gallery similarities, 1 is first; equal strangers come before it."""
    if not mates.any():
        raise ValueError("no mate in the gallery: the rank is not defined")
    best = similarities[mates].max()
    return 1 + int((similarities[~mates] >= best).sum())
