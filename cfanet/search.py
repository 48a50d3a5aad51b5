"""Exact 1:N search on unit vectors: float32 shortlist by matrix product, float64 rescoring, ties by position."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from cfanet.records import Embeddings

Similarities = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

_SHORTLIST_MARGIN = 16  # float32 scores of the true top k are never this many ranks off
_BLOCK_ROWS = 8_192  # references per matrix product: a block of scores is 8 MiB
_QUERY_ROWS = 256
_GROUP = 64


@dataclass(frozen=True, eq=False)
class References:
    """A gallery held in memory."""

    ids: tuple[str, ...]
    embeddings: Embeddings  # (N, d) float32 unit-norm

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.embeddings):
            raise ValueError(f"{len(self.ids)} reference ids for {len(self.embeddings)} embeddings")


def pair_similarity(u: npt.NDArray[np.floating], v: npt.NDArray[np.floating]) -> Similarities:
    """Cosine of (N, d) with (N, d) vectors row by row, in float64; (N,)."""
    a, b = _unit64(u), _unit64(v)
    result: Similarities = (a * b).sum(-1)
    return result


def angle_deg(u: npt.NDArray[np.floating], v: npt.NDArray[np.floating]) -> Similarities:
    """Angle in degrees between (N, d) and (N, d) vectors row by row: 2·atan2(|u−v|, |u+v|), float64 (N,)."""
    a, b = _unit64(u), _unit64(v)
    result: Similarities = np.degrees(2.0 * np.arctan2(np.linalg.norm(a - b, axis=-1), np.linalg.norm(a + b, axis=-1)))
    return result


def search(queries: Embeddings, references: References, k: int = 1) -> tuple[Similarities, Indices]:
    """The k most similar references of each query.

    `queries` (M, d). Returns similarities (M, k) float64 in descending order and reference positions (M, k) int64;
    equal similarities are ordered by position. The result does not depend on how queries are batched.
    ValueError when the gallery holds fewer than k references.
    """
    n = len(references.ids)
    if not 1 <= k <= n:
        raise ValueError(f"k = {k} asked of a gallery of {n} references")
    similarities = np.empty((len(queries), k), dtype=np.float64)
    indices = np.empty((len(queries), k), dtype=np.int64)
    for start in range(0, len(queries), _QUERY_ROWS):
        rows = slice(start, start + _QUERY_ROWS)
        similarities[rows], indices[rows] = _search_rows(queries[rows], references.embeddings, k)
    return similarities, indices


def _search_rows(queries: Embeddings, embeddings: Embeddings, k: int) -> tuple[Similarities, Indices]:
    shortlist = _shortlist(torch.from_numpy(queries), embeddings, min(k + _SHORTLIST_MARGIN, len(embeddings)))
    exact = np.einsum("md,mkd->mk", _unit64(queries), _unit64(embeddings[shortlist]))
    order = np.lexsort((shortlist, -exact), axis=-1)[:, :k]
    return np.take_along_axis(exact, order, -1), np.take_along_axis(shortlist, order, -1)


def _shortlist(queries: torch.Tensor, embeddings: Embeddings, size: int) -> Indices:
    """(M, size) candidate positions by float32 scores, gathered block by block."""
    best = torch.full((len(queries), size), -torch.inf)
    where = torch.zeros(len(queries), size, dtype=torch.int64)
    for start in range(0, len(embeddings), _BLOCK_ROWS):
        block = torch.from_numpy(np.ascontiguousarray(embeddings[start : start + _BLOCK_ROWS]))
        scores = queries @ block.T
        rows = (scores.amax(dim=-1) > best[:, -1]).nonzero()[:, 0]  # fewer with every block
        if not len(rows):
            continue
        found, positions = _highest(scores[rows], min(size, len(block)))
        best[rows], kept = torch.cat([best[rows], found], dim=-1).topk(size, dim=-1)
        where[rows] = torch.cat([where[rows], positions + start], dim=-1).gather(-1, kept)
    result: Indices = where.numpy()
    return result


def _highest(scores: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The `size` highest of each row (M, N) and their columns.

    They lie in the `size` groups with the highest maxima, and a maximum is found many times faster than a rank.
    """
    m, n = scores.shape
    whole = n // _GROUP * _GROUP
    if whole // _GROUP <= size:
        return scores.topk(size, dim=-1)
    groups = scores[:, :whole].reshape(m, -1, _GROUP)
    chosen = groups.amax(dim=-1).topk(size, dim=-1).indices
    columns = (chosen[..., None] * _GROUP + torch.arange(_GROUP)).reshape(m, -1)
    columns = torch.cat([columns, torch.arange(whole, n).expand(m, -1)], dim=-1)
    best, where = scores.gather(-1, columns).topk(size, dim=-1)
    return best, columns.gather(-1, where)


def _unit64(v: npt.NDArray[np.floating]) -> Similarities:
    wide = v.astype(np.float64)
    unit: Similarities = wide / np.maximum(np.linalg.norm(wide, axis=-1, keepdims=True), 1e-12)
    return unit
