"""Thresholds at a stated false match rate, from the owner's own originals or, failing that, as published.

Every pair of references of two labelled people is a non-mated comparison, every pair of one person a mated one.
Pairs share faces and are not independent; so what an owner's data can support is judged by *pairs of people*.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audit.gallery import Gallery
from audit.intervals import Rate, rate, trials_for
from audit.search import best_of_others
from cfanet.records import Embeddings, Recognizer

HISTOGRAM_BINS = 200
"""Bins of width 0.01 over [-1, 1], lower edge inclusive; the last one includes 1."""
_BLOCK = 2_048
_CLEARANCE = 1e-7
_STRANGER_PROBES = 5_000


@dataclass(frozen=True)
class Calibration:
    """A recognizer's threshold and what is known about it on the owner's data."""

    recognizer: str
    digest: str
    fmr: float  # what was asked for
    threshold: float  # similarity at or above which two faces count as the same person
    source: str  # "owner" (the originals' own pairs) or "published"
    reason: str  # in words: why this source
    n_subjects: int
    n_subject_pairs: int
    false_match: Rate  # non-mated pairs at or above the threshold
    true_match: Rate  # mated pairs at or above it: 1 − FNMR
    strangers: Rate  # untouched originals whose best match among other people reaches it: FPIR of a 1:N search
    nonmated_histogram: tuple[int, ...]
    mated_histogram: tuple[int, ...]


def calibrate(recognizer: Recognizer, gallery: Gallery, fmr: float, confidence: float = 0.95) -> Calibration:
    """Find the threshold at `fmr`; falls back to `recognizer.threshold(fmr)` and says why.

    The owner's pairs support a rate when there are at least 3/fmr pairs of different people (rule of three).
    All pairs are used; memory is bounded, time is quadratic in the number of labelled references.
    """
    labelled = np.array([i for i, s in enumerate(gallery.subjects) if s], dtype=np.int64)
    names = np.array([gallery.subjects[i] for i in labelled])
    people, codes = np.unique(names, return_inverse=True) if len(names) else (names, labelled)
    embeddings = gallery.references.embeddings[labelled]
    n_pairs, needed = len(people) * (len(people) - 1) // 2, trials_for(fmr, confidence)
    if n_pairs >= needed:
        threshold, source = _owner_threshold(embeddings, codes, fmr), "owner"
        reason = (
            f"{len(people)} labelled people give {n_pairs} pairs of different people, "
            f"and a false match rate of {fmr:g} needs {needed}"
        )
    else:
        threshold, source = recognizer.threshold(fmr), "published"
        reason = (
            f"the originals show {len(people)} labelled people, {n_pairs} pairs of different people; a false match "
            f"rate of {fmr:g} needs {needed}, so the recognizer's published threshold is used"
        )
    nonmated, mated, above = _count(embeddings, codes, threshold)
    return Calibration(
        recognizer=recognizer.name,
        digest=recognizer.digest,
        fmr=fmr,
        threshold=float(threshold),
        source=source,
        reason=reason,
        n_subjects=len(people),
        n_subject_pairs=n_pairs,
        false_match=rate(above[0], int(nonmated.sum()), confidence),
        true_match=rate(above[1], int(mated.sum()), confidence),
        strangers=_strangers(gallery, labelled, threshold, confidence),
        nonmated_histogram=tuple(int(count) for count in nonmated),
        mated_histogram=tuple(int(count) for count in mated),
    )


def histogram(similarities: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    """Counts of similarities (N,) in `HISTOGRAM_BINS` equal bins over [-1, 1]; (200,) int64. None is dropped."""
    positions = np.floor((similarities.astype(np.float64) + 1.0) * (HISTOGRAM_BINS / 2)).astype(np.int64)
    return np.bincount(positions.clip(0, HISTOGRAM_BINS - 1), minlength=HISTOGRAM_BINS).astype(np.int64)


def _blocks(
    embeddings: Embeddings, codes: npt.NDArray[np.int64]
) -> Iterator[tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]]:
    """All unordered pairs, in blocks: similarities (K,) float64 and whether both are the same person (K,)."""
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


def _owner_threshold(embeddings: Embeddings, codes: npt.NDArray[np.int64], fmr: float) -> float:
    """The smallest threshold at which at most a share `fmr` of all non-mated pairs matches."""
    total = sum(int((~same).sum()) for _, same in _blocks(embeddings, codes))
    allowed = int(np.floor(fmr * total))
    top = np.empty(0)
    for scores, same in _blocks(embeddings, codes):
        top = np.concatenate([top, scores[~same]])
        if len(top) > allowed + 1:
            top = np.partition(top, len(top) - allowed - 1)[-(allowed + 1) :]
    # The lowest of `top` must not match. The threshold lies above it by more than rounding, but below the next one.
    below = float(top.min())
    higher = top[top > below]
    gap = float(higher.min()) - below if len(higher) else 1.0
    return below + min(gap / 2.0, _CLEARANCE)


def _count(
    embeddings: Embeddings, codes: npt.NDArray[np.int64], threshold: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], tuple[int, int]]:
    """Histograms of non-mated and mated pairs, and how many of each reach the threshold."""
    nonmated, mated = np.zeros(HISTOGRAM_BINS, np.int64), np.zeros(HISTOGRAM_BINS, np.int64)
    false_matches = true_matches = 0
    for scores, same in _blocks(embeddings, codes):
        nonmated += histogram(scores[~same])
        mated += histogram(scores[same])
        false_matches += int((scores[~same] >= threshold).sum())
        true_matches += int((scores[same] >= threshold).sum())
    return nonmated, mated, (false_matches, true_matches)


def _strangers(gallery: Gallery, labelled: npt.NDArray[np.int64], threshold: float, confidence: float) -> Rate:
    """How often an untouched original matches somebody else: what a face of nobody would do by chance.

    Of more than 5,000 labelled references every n-th is searched; `Rate.n` says how many were.
    """
    if not len(labelled):
        return rate(0, 0, confidence)
    probes = labelled[:: -(-len(labelled) // _STRANGER_PROBES)]
    own = [gallery.subjects[i] for i in probes]
    ids = [gallery.references.ids[i] for i in probes]
    similarity, position = best_of_others(gallery.references.embeddings[probes], gallery, own, ids)
    found = position >= 0
    return rate(int((similarity[found] >= threshold).sum()), int(found.sum()), confidence)
