"""All pairs of labelled references, block by block: memory is bounded, time is quadratic in their number."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from cfanet.records import Embeddings

Scores = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

_BLOCK = 2_048
_CLEARANCE = 1e-7


def pair_blocks(embeddings: Embeddings, codes: Codes) -> Iterator[tuple[Scores, npt.NDArray[np.bool_]]]:
    """Every unordered pair of rows of (N, d) once: similarities (K,) float64, and whether both have the same code."""
    wide = embeddings.astype(np.float64)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True).clip(1e-12)
    for i in range(0, len(wide), _BLOCK):
        for j in range(i, len(wide), _BLOCK):
            scores = wide[i : i + _BLOCK] @ wide[j : j + _BLOCK].T
            same = codes[i : i + _BLOCK, None] == codes[None, j : j + _BLOCK]
            if i == j:
                upper = np.triu_indices(len(scores), k=1)
                yield scores[upper], same[upper]
            else:
                yield scores.ravel(), same.ravel()


def count_pairs(codes: Codes) -> tuple[int, int]:
    """How many pairs of rows are non-mated and mated, from their codes (N,) alone."""
    sizes = np.unique(codes, return_counts=True)[1].astype(object) if len(codes) else np.zeros(0, dtype=object)
    mated = int((sizes * (sizes - 1) // 2).sum()) if len(sizes) else 0
    return len(codes) * (len(codes) - 1) // 2 - mated, mated


def highest_nonmated(embeddings: Embeddings, codes: Codes, count: int) -> Scores:
    """The `count` largest non-mated similarities, in descending order; fewer where there are fewer."""
    top = np.empty(0)
    for scores, same in pair_blocks(embeddings, codes):
        floor = top.min() if len(top) == count else -np.inf
        top = np.concatenate([top, scores[~same & (scores > floor)]])
        if len(top) > count:
            top = np.partition(top, len(top) - count)[-count:]
    descending: Scores = np.sort(top)[::-1]
    return descending


def threshold_above(descending: Scores, allowed: int) -> float:
    """The smallest threshold that exactly the first `allowed` or fewer of the sorted similarities reach.

    It lies above the first one that must not match by more than rounding, but below the next higher one.
    """
    below = float(descending[min(allowed, len(descending) - 1)])
    higher = descending[descending > below]
    gap = float(higher.min()) - below if len(higher) else 1.0
    return below + min(gap / 2.0, _CLEARANCE)


def count_reaching(
    embeddings: Embeddings, codes: Codes, thresholds: Sequence[float]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """How many non-mated and mated pairs reach each threshold; both (T,) int64 in the order given."""
    order = np.argsort(thresholds)
    ascending = np.asarray(thresholds, dtype=np.float64)[order]
    passed = np.zeros((2, len(ascending) + 1), dtype=np.int64)
    for scores, same in pair_blocks(embeddings, codes):
        for row, chosen in enumerate((scores[~same], scores[same])):
            levels = np.searchsorted(ascending, chosen, side="right")  # how many thresholds each similarity reaches
            passed[row] += np.bincount(levels, minlength=len(ascending) + 1)
    reaching = passed[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]
    result = np.empty_like(reaching)
    result[:, order] = reaching
    return result[0], result[1]
