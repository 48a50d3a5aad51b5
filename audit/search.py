"""Exact 1:N searches of released faces: the best match among *other* people, and the rank of the true identity.

One matrix product answers both. Its scores are float32; wherever their rounding could decide, the pair is computed
again in float64, so that a result does not depend on how many faces are searched together, or in which order.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from audit.gallery import Gallery
from cfanet.records import Embeddings

Similarities = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_ROWS = 256  # queries at a time
_BLOCK = 2_040  # references at a time: what is done to a block of scores finds it in the processor's cache (2 MiB)
_EXACT = 16_384  # pairs at a time in float64
_NORM_ERROR = 1e-6  # of float32 vectors of unit length
_WORDS = 255  # of eight flags each, that can be added without a carry from one flag's byte to the next


@dataclass(frozen=True, eq=False)
class Searched:
    """What a search of M faces found."""

    best_other: Similarities  # (M,) with the best reference that shows somebody else; −1 where there is nobody else
    position: Indices  # (M,) of that reference; −1 where there is nobody else
    own: Similarities  # (M,) with the best reference of the same person; NaN where none is enrolled
    rank: Indices  # (M,) 1 + references of others above `own`; 0 where `own` is NaN


def search_people(queries: Embeddings, gallery: Gallery, subjects: Sequence[str], own_ids: Sequence[str]) -> Searched:
    """Search every query (M, d) among all references.

    A reference is a query's own when its id is the query's or its subject is the query's (and known).
    """
    n = len(queries)
    found = Searched(np.full(n, -1.0), np.full(n, -1, np.int64), np.full(n, np.nan), np.zeros(n, np.int64))
    if not len(gallery.references.ids):
        return found
    for start in range(0, n, _ROWS):
        rows = slice(start, min(start + _ROWS, n))
        own = [
            gallery.own_positions(subject, own_id)
            for subject, own_id in zip(subjects[rows], own_ids[rows], strict=True)
        ]
        batch = _Batch(queries[rows], gallery, own)
        batch.run()
        found.best_other[rows], found.position[rows] = batch.best, batch.position
        found.own[rows], found.rank[rows] = batch.own, np.where(batch.known, batch.above + 1, 0)
    return found


class _Batch:
    """The search of a few queries, block by block."""

    def __init__(self, queries: Embeddings, gallery: Gallery, own: Sequence[Indices]) -> None:
        self._queries, self._references = np.ascontiguousarray(queries), gallery.references.embeddings
        self._norms = gallery.norms
        self._wide = queries.astype(np.float64)
        self._wide /= np.linalg.norm(self._wide, axis=1, keepdims=True).clip(1e-12)
        self._doubt = queries.shape[1] * 2.0**-24 + _NORM_ERROR  # no float32 score is further off
        self._own_rows = np.repeat(np.arange(len(own)), [len(positions) for positions in own])
        self._own_columns = np.concatenate([np.empty(0, np.int64), *own])
        self.own = np.full(len(queries), np.nan)
        if len(self._own_rows):
            exact = self._exact(self._own_rows, self._own_columns)
            np.fmax.at(self.own, self._own_rows, exact)
        self.known = ~np.isnan(self.own)
        limit = np.where(self.known, self.own, np.inf)[:, None]
        self._surely, self._perhaps = (limit + self._doubt).astype(np.float32), (limit - self._doubt).astype(np.float32)
        self.above = np.zeros(len(queries), np.int64)
        self._top = np.full(len(queries), -np.inf, np.float32)
        self.best = np.full(len(queries), -1.0)
        self.position = np.full(len(queries), -1, np.int64)
        self._candidates = _Pairs(self._take_best)
        self._near = _Pairs(self._take_near)

    def run(self) -> None:
        """Look at every reference once."""
        width = min(_BLOCK, len(self._references))
        scores = np.empty((len(self._queries), width), np.float32)
        padded = -(-width // 8) * 8
        above, near = (np.zeros((len(self._queries), padded), np.bool_) for _ in range(2))
        queries = torch.from_numpy(self._queries)
        for offset in range(0, len(self._references), width):
            block = torch.from_numpy(self._references[offset : offset + width])
            if len(block) < width:
                scores = np.empty((len(queries), len(block)), np.float32)
                above[:, len(block) :] = near[:, len(block) :] = False
            torch.mm(queries, block.T, out=torch.from_numpy(scores))
            mine = (self._own_columns >= offset) & (self._own_columns < offset + len(block))
            scores[self._own_rows[mine], self._own_columns[mine] - offset] = -np.inf
            self._note_best(scores, offset)
            self._count_above(scores, offset, above, near)
        self._candidates.flush()
        self._near.flush()

    def _note_best(self, scores: npt.NDArray[np.float32], offset: int) -> None:
        """Note what could be the best other: everything within rounding of the best so far."""
        top = torch.from_numpy(scores).amax(dim=1).numpy()
        np.maximum(self._top, top, out=self._top)
        floor = self._top - 2 * self._doubt
        improving = np.flatnonzero((top >= floor) & np.isfinite(top))
        if len(improving):
            rows, columns = _places(scores[improving] >= floor[improving, None])
            self._candidates.add(improving[rows], columns + offset)

    def _take_best(self, rows: Indices, positions: Indices) -> None:
        """Of equally similar references the first stays; what was taken before lies before these."""
        exact = self._exact(rows, positions)
        order = np.lexsort((positions, -exact, rows))
        row, first = np.unique(rows[order], return_index=True)
        chosen = order[first]
        better = (exact[chosen] > self.best[row]) | (self.position[row] < 0)
        self.best[row[better]] = exact[chosen][better]
        self.position[row[better]] = positions[chosen][better]

    def _count_above(self, scores: npt.NDArray[np.float32], offset: int, above: Flags, near: Flags) -> None:
        """Count references above `own`: at a distance by their float32 scores; those near it are noted."""
        width = scores.shape[1]
        np.greater(scores, self._surely, out=above[:, :width])
        np.greater(scores, self._perhaps, out=near[:, :width])
        surely = _count(above)
        self.above += surely
        doubtful = np.flatnonzero(_count(near) != surely)
        if len(doubtful):
            rows, columns = _places(near[doubtful] != above[doubtful])
            self._near.add(doubtful[rows], columns + offset)

    def _take_near(self, rows: Indices, positions: Indices) -> None:
        """Decide exactly which references that lie near `own` are above it."""
        higher = self._exact(rows, positions) > self.own[rows]
        self.above += np.bincount(rows[higher], minlength=len(self.above))

    def _exact(self, rows: Indices, columns: Indices) -> Similarities:
        """Cosines (K,) in float64 of queries and references, pair by pair."""
        products = self._wide[rows]
        products *= self._references[columns]
        cosines: Similarities = products.sum(axis=1) / self._norms[columns]
        return cosines


class _Pairs:
    """Pairs of queries and references that wait for being computed exactly: many together cost less."""

    def __init__(self, take: Callable[[Indices, Indices], None]) -> None:
        self._take = take
        self._waiting: list[tuple[Indices, Indices]] = []
        self._count = 0

    def add(self, rows: Indices, positions: Indices) -> None:
        """Note pairs; positions of later calls are higher."""
        self._waiting.append((rows, positions))
        self._count += len(rows)
        if self._count >= _EXACT:
            self.flush()

    def flush(self) -> None:
        """Hand over all that wait, `_EXACT` at a time, in the order in which they came."""
        if not self._waiting:
            return
        rows, positions = (np.concatenate(parts) for parts in zip(*self._waiting, strict=True))
        self._waiting, self._count = [], 0
        for start in range(0, len(rows), _EXACT):
            self._take(rows[start : start + _EXACT], positions[start : start + _EXACT])


def _places(flags: Flags) -> tuple[Indices, Indices]:
    """Rows and columns of the flags (M, N) that are set, row by row; `np.nonzero`, which is slow with two axes."""
    rows, columns = np.divmod(np.flatnonzero(flags), flags.shape[1])
    return rows, columns


def _count(flags: Flags) -> Indices:
    """How many of each row's flags (M, N) are set; N is a multiple of 8. Eight are added at a time, as one number."""
    words, total = flags.view(np.uint64), np.zeros(len(flags), np.int64)
    for start in range(0, words.shape[1], _WORDS):
        sums = np.add.reduce(words[:, start : start + _WORDS], axis=1)
        total += sums.view(np.uint8).reshape(-1, 8).sum(axis=1, dtype=np.int64)
    return total
