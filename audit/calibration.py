"""Thresholds at stated false match rates, from the owner's own originals or, failing that, as published.

Every pair of references of two labelled people is a non-mated comparison, every pair of one person a mated one.
Pairs share faces and are not independent; so what an owner's data can support is judged by *pairs of people*, and a
threshold's interval is taken as if each two people had been compared once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audit.gallery import Gallery
from audit.intervals import Rate, clopper_pearson, rate, trials_for
from audit.pairs import Codes, Scores, count_pairs, count_reaching, highest_nonmated, pair_blocks, threshold_above
from audit.search import search_people
from cfanet.records import Embeddings, Recognizer

HISTOGRAM_BINS = 200
"""Bins of width 0.01 over [-1, 1], lower edge inclusive; the last one includes 1."""
DEFAULT_FMRS = (1e-2, 1e-3, 1e-4, 1e-5)
_FINE_BINS = 2_000  # of width 0.001: 0.01 is much where similarities crowd, as dlib's do
_DET_POINTS = 60
_STRANGER_PROBES = 5_000
_MIN_MATED = 30  # pairs of one person's pictures, below which their median is not known


@dataclass(frozen=True)
class OperatingPoint:
    """One false match rate that was asked for, and what the owner's data say of it."""

    fmr: float
    supported: bool  # False: the data are too few to state this rate, and there is no threshold
    reason: str
    threshold: float | None
    low: float | None  # interval of the threshold
    high: float | None
    false_match: Rate
    true_match: Rate


@dataclass(frozen=True)
class DetPoint:
    """One point of the detection error trade-off: errors of untouched originals at one similarity."""

    threshold: float
    fmr: float
    fnmr: float | None  # None where no person has two pictures


@dataclass(frozen=True)
class Certain:
    """From which similarity a face could be taken for a certain person, and how often untouched strangers reach it."""

    similarity: float  # half of all pairs of untouched pictures of one person are at least as alike
    strangers: Rate  # untouched originals whose best match among other people reaches it


@dataclass(frozen=True)
class Calibration:
    """A recognizer's threshold and what is known about it on the owner's data."""

    recognizer: str
    digest: str
    fmr: float  # what was asked for
    threshold: float  # similarity at or above which two faces count as the same person
    source: str  # "owner" (the originals' own pairs), "supplied" (another gallery's) or "published"
    reason: str  # in words: why this source
    n_subjects: int
    n_subject_pairs: int
    false_match: Rate  # non-mated pairs at or above the threshold
    true_match: Rate  # mated pairs at or above it: 1 − FNMR
    strangers: Rate  # untouched originals whose best match among other people reaches it: FPIR of a 1:N search
    nonmated_histogram: tuple[int, ...]
    mated_histogram: tuple[int, ...]
    points: tuple[OperatingPoint, ...] = ()  # by descending FMR
    det: tuple[DetPoint, ...] = ()  # by ascending threshold
    certain: Certain | None = None  # None without 30 pairs of pictures of one person


@dataclass(frozen=True, eq=False)
class _Labelled:
    """The references that show somebody known."""

    embeddings: Embeddings
    codes: Codes  # of people
    n_subjects: int
    n_nonmated: int
    n_mated: int

    @property
    def n_subject_pairs(self) -> int:
        return self.n_subjects * (self.n_subjects - 1) // 2


def calibrate(
    recognizer: Recognizer,
    gallery: Gallery,
    fmr: float,
    confidence: float = 0.95,
    fmrs: Sequence[float] = DEFAULT_FMRS,
) -> Calibration:
    """Find the threshold at `fmr`; falls back to `recognizer.threshold(fmr)` and says why.

    The owner's pairs support a rate when there are at least 3/fmr pairs of different people (rule of three). The
    other `fmrs` are reported beside it, each with a threshold or with the reason why there is none.
    """
    known = _labelled(gallery)
    points = _points(known, sorted({fmr, *fmrs}, reverse=True), confidence)
    chosen = next(point for point in points if point.fmr == fmr)
    if chosen.threshold is not None:
        threshold, source, reason = chosen.threshold, "owner", chosen.reason
    else:
        threshold, source = recognizer.threshold(fmr), "published"
        reason = f"{chosen.reason}, so the recognizer's published threshold is used"
    nonmated, mated = _fine_histograms(known)
    reached = count_reaching(known.embeddings, known.codes, [threshold])
    sure = certain_similarity(mated, threshold)
    best = _best_strangers(gallery)
    return Calibration(
        recognizer=recognizer.name,
        digest=recognizer.digest,
        fmr=fmr,
        threshold=float(threshold),
        source=source,
        reason=reason,
        n_subjects=known.n_subjects,
        n_subject_pairs=known.n_subject_pairs,
        false_match=rate(int(reached[0][0]), known.n_nonmated, confidence),
        true_match=rate(int(reached[1][0]), known.n_mated, confidence),
        strangers=_reaching(best, threshold, confidence),
        nonmated_histogram=_coarse(nonmated),
        mated_histogram=_coarse(mated),
        points=points,
        det=_det(nonmated, mated),
        certain=None if sure is None else Certain(sure, _reaching(best, sure, confidence)),
    )


def certain_similarity(mated: npt.NDArray[np.int64], threshold: float) -> float | None:
    """Half of all pairs in `mated`, a histogram over [-1, 1], are at least as alike; None below 30 pairs."""
    total, seen = int(mated.sum()), 0
    if total < _MIN_MATED:
        return None
    for position in range(len(mated) - 1, -1, -1):
        seen += int(mated[position])
        if 2 * seen >= total:
            break
    # The lower edge: with the upper one, where most pairs are nearly identical, no face could ever reach 1.
    return max(threshold, -1.0 + 2.0 * position / len(mated))


def histogram(similarities: npt.NDArray[np.floating], bins: int = HISTOGRAM_BINS) -> npt.NDArray[np.int64]:
    """Counts of similarities (N,) in equal bins over [-1, 1]; (bins,) int64. None is dropped."""
    positions = np.floor((similarities.astype(np.float64) + 1.0) * (bins / 2)).astype(np.int64)
    return np.bincount(positions.clip(0, bins - 1), minlength=bins).astype(np.int64)


def _labelled(gallery: Gallery) -> _Labelled:
    rows = np.array([i for i, subject in enumerate(gallery.subjects) if subject], dtype=np.int64)
    names = np.array([gallery.subjects[i] for i in rows])
    people, codes = np.unique(names, return_inverse=True) if len(names) else (names, rows)
    return _Labelled(gallery.references.embeddings[rows], codes, len(people), *count_pairs(codes))


def _points(known: _Labelled, fmrs: Sequence[float], confidence: float) -> tuple[OperatingPoint, ...]:
    """One point per rate, from one pass for the highest similarities and one for the counts."""
    needed = {fmr: trials_for(fmr, confidence) for fmr in fmrs}
    supported = [fmr for fmr in fmrs if known.n_subject_pairs >= needed[fmr]]
    limits = {fmr: _rate_interval(fmr, known.n_subject_pairs, confidence) for fmr in supported}
    largest = max((high for _, high in limits.values()), default=0.0)
    top: Scores = np.empty(0)
    if supported:
        top = highest_nonmated(known.embeddings, known.codes, int(largest * known.n_nonmated) + 2)
    thresholds = {fmr: threshold_above(top, int(fmr * known.n_nonmated)) for fmr in supported}
    reached = count_reaching(known.embeddings, known.codes, list(thresholds.values()))
    hits = {fmr: (int(reached[0][i]), int(reached[1][i])) for i, fmr in enumerate(supported)}
    none = rate(0, 0, confidence)
    have = f"{known.n_subjects} labelled people give {known.n_subject_pairs} pairs of different people"
    points = []
    for fmr in fmrs:
        reason = f"{have}, and a false match rate of {100 * fmr:g} % needs {needed[fmr]}"
        if fmr not in thresholds:
            points.append(OperatingPoint(fmr, False, reason, None, None, None, none, none))
            continue
        low, high = (threshold_above(top, int(limit * known.n_nonmated)) for limit in reversed(limits[fmr]))
        false_match = rate(hits[fmr][0], known.n_nonmated, confidence)
        true_match = rate(hits[fmr][1], known.n_mated, confidence)
        points.append(OperatingPoint(fmr, True, reason, thresholds[fmr], low, high, false_match, true_match))
    return tuple(points)


def _rate_interval(fmr: float, n_subject_pairs: int, confidence: float) -> tuple[float, float]:
    """False match rates compatible with `fmr`, had each two people been compared once."""
    return clopper_pearson(round(fmr * n_subject_pairs), n_subject_pairs, confidence)


def _fine_histograms(known: _Labelled) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    nonmated, mated = np.zeros(_FINE_BINS, np.int64), np.zeros(_FINE_BINS, np.int64)
    for scores, same in pair_blocks(known.embeddings, known.codes):
        nonmated += histogram(scores[~same], _FINE_BINS)
        mated += histogram(scores[same], _FINE_BINS)
    return nonmated, mated


def _coarse(fine: npt.NDArray[np.int64]) -> tuple[int, ...]:
    return tuple(int(count) for count in fine.reshape(HISTOGRAM_BINS, -1).sum(axis=1))


def _det(nonmated: npt.NDArray[np.int64], mated: npt.NDArray[np.int64]) -> tuple[DetPoint, ...]:
    """FMR and FNMR at the edges of the fine bins, thinned to steps that can be seen on logarithmic axes."""
    if not nonmated.sum():
        return ()
    false = nonmated[::-1].cumsum()[::-1] / nonmated.sum()  # share at or above the lower edge of each bin
    missed = 1.0 - mated[::-1].cumsum()[::-1] / mated.sum() if mated.sum() else None
    used = np.flatnonzero((false > 0) & (false < 1))
    steps = np.floor(np.log10(false[used]) * _DET_POINTS / 6) if len(used) else used
    kept = [i for n, i in enumerate(used) if n == 0 or steps[n] != steps[n - 1]]
    return tuple(
        DetPoint(
            round(-1.0 + 2.0 * int(i) / _FINE_BINS, 6), float(false[i]), None if missed is None else float(missed[i])
        )
        for i in kept
    )


def _best_strangers(gallery: Gallery) -> npt.NDArray[np.float64]:
    """Similarity of untouched originals with the best match among other people; (N,).

    Of more than 5,000 labelled references every n-th is searched. Other faces of its own picture are left out: a box
    that lies across somebody shows that person again.
    """
    labelled = [i for i, subject in enumerate(gallery.subjects) if subject]
    gallery = _whole_pictures(gallery)
    if not labelled:
        return np.zeros(0)
    probes = labelled[:: -(-len(labelled) // _STRANGER_PROBES)]
    own = [gallery.subjects[i] for i in probes]
    ids = [gallery.references.ids[i] for i in probes]
    found = search_people(gallery.references.embeddings[probes], gallery, own, ids)
    best: npt.NDArray[np.float64] = found.best_other[found.position >= 0]
    return best


def _whole_pictures(gallery: Gallery) -> Gallery:
    """The gallery with every face of a labelled person's picture under that person's name."""
    pictures = [reference.rpartition("#")[0] for reference in gallery.references.ids]
    people = {picture: subject for picture, subject in zip(pictures, gallery.subjects, strict=True) if subject}
    named = zip(pictures, gallery.subjects, strict=True)
    return Gallery(gallery.references, tuple(subject or people.get(picture, "") for picture, subject in named))


def _reaching(best: npt.NDArray[np.float64], threshold: float, confidence: float) -> Rate:
    """How often an untouched original is so like somebody else: what a face of nobody would be by chance."""
    return rate(int((best >= threshold).sum()), len(best), confidence)
