"""Exact 1:N searches of released faces: the best match among *other* people, and the rank of the true identity."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from audit.gallery import Gallery
from cfanet.records import Embeddings
from cfanet.search import search

Similarities = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

_ROWS = 256  # queries at a time: bounds the memory of one block of scores
_DEEP_ROWS = 32  # the same where many references of one person must be passed over
_BLOCK = 65_536
_RANK_ROWS = 64
_DOUBT = 1e-5  # float32 scores closer than this to the limit are computed again in float64


def best_of_others(
    queries: Embeddings, gallery: Gallery, subjects: Sequence[str], own_ids: Sequence[str]
) -> tuple[Similarities, Indices]:
    """The best reference of each query (M, d) that shows somebody else.

    A reference is a query's own when its id is the query's or its subject is the query's (and known).
    Returns similarities (M,) float64 and positions (M,) int64; −1 and −1 where there is nobody else.
    """
    similarities, positions = np.full(len(queries), -1.0), np.full(len(queries), -1, dtype=np.int64)
    total = len(gallery.references.ids)
    if not total:
        return similarities, positions
    codes = _own_codes(gallery, subjects, own_ids)
    pending, k = np.arange(len(queries)), min(2, total)
    while len(pending):
        step = _ROWS if k <= 64 else _DEEP_ROWS
        unresolved = []
        for start in range(0, len(pending), step):
            rows = pending[start : start + step]
            scores, found = search(queries[rows], gallery.references, k)
            others = ~_is_own(found, codes, rows)
            first = others.argmax(axis=1)
            any_other = others.any(axis=1)
            similarities[rows[any_other]] = scores[np.arange(len(rows)), first][any_other]
            positions[rows[any_other]] = found[np.arange(len(rows)), first][any_other]
            unresolved.append(rows[~any_other])
        pending = np.concatenate(unresolved) if k < total else np.empty(0, dtype=np.int64)
        k = min(2 * k, total)
    return similarities, positions


def own_similarity(
    queries: Embeddings, gallery: Gallery, subjects: Sequence[str], own_ids: Sequence[str]
) -> Similarities:
    """Similarity (M,) float64 of each query (M, d) with its own best reference; NaN where none is enrolled."""
    by_id, by_subject = _positions(gallery)
    result = np.full(len(queries), np.nan)
    for row, (query, subject, own_id) in enumerate(zip(queries, subjects, own_ids, strict=True)):
        own = by_id.get(own_id, []) + (by_subject.get(subject, []) if subject else [])
        if own:
            result[row] = (gallery.references.embeddings[own].astype(np.float64) @ query.astype(np.float64)).max()
    return result


def true_ranks(
    queries: Embeddings, gallery: Gallery, subjects: Sequence[str], own_ids: Sequence[str], own: Similarities
) -> Indices:
    """Rank (M,) of the true identity: 1 + references of other people above `own` (M,); 0 where `own` is NaN.

    Counted exactly: float32 products, and float64 where rounding could decide.
    """
    ranks = np.zeros(len(queries), dtype=np.int64)
    codes = _own_codes(gallery, subjects, own_ids)
    known = np.flatnonzero(~np.isnan(own))
    for start in range(0, len(known), _RANK_ROWS):
        rows = known[start : start + _RANK_ROWS]
        ranks[rows] = 1
        for offset in range(0, len(gallery.references.ids), _BLOCK):
            references = gallery.references.embeddings[offset : offset + _BLOCK]
            gap = queries[rows] @ references.T - own[rows, None].astype(np.float32)
            for i, j in np.argwhere(np.abs(gap) < _DOUBT):
                exact = queries[rows[i]].astype(np.float64) @ references[j].astype(np.float64)
                gap[i, j] = np.sign(exact - own[rows[i]])
            positions = np.broadcast_to(np.arange(offset, offset + len(references)), gap.shape)
            ranks[rows] += ((gap > 0) & ~_is_own(positions, codes, rows)).sum(axis=1)
    return ranks


def _positions(gallery: Gallery) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    by_id: dict[str, list[int]] = defaultdict(list)
    by_subject: dict[str, list[int]] = defaultdict(list)
    for position, (name, subject) in enumerate(zip(gallery.references.ids, gallery.subjects, strict=True)):
        by_id[name].append(position)
        if subject:
            by_subject[subject].append(position)
    return by_id, by_subject


def _own_codes(
    gallery: Gallery, subjects: Sequence[str], own_ids: Sequence[str]
) -> tuple[Indices, Indices, Indices, Indices]:
    """Integer codes of (reference ids, reference subjects, query ids, query subjects); unknown is −1 or −2."""
    ids: dict[str, int] = {}
    people: dict[str, int] = {}
    reference_ids = np.array([ids.setdefault(name, len(ids)) for name in gallery.references.ids], dtype=np.int64)
    reference_people = np.array(
        [people.setdefault(name, len(people)) if name else -1 for name in gallery.subjects], dtype=np.int64
    )
    query_ids = np.array([ids.get(name, -2) for name in own_ids], dtype=np.int64)
    query_people = np.array([people.get(name, -2) if name else -2 for name in subjects], dtype=np.int64)
    return reference_ids, reference_people, query_ids, query_people


def _is_own(
    positions: Indices, codes: tuple[Indices, Indices, Indices, Indices], rows: Indices
) -> npt.NDArray[np.bool_]:
    reference_ids, reference_people, query_ids, query_people = codes
    same_id = reference_ids[positions] == query_ids[rows, None]
    same_person = reference_people[positions] == query_people[rows, None]
    result: npt.NDArray[np.bool_] = same_id | same_person
    return result
