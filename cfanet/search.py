"""Exact 1:N search on unit vectors: float32 shortlist by matrix product, float64 rescoring, ties by position."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from cfanet.records import Embeddings

Similarities = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

_SHORTLIST_MARGIN = 16  # float32 scores of the true top k are never this many ranks off
_BLOCK_ROWS = 65_536  # references per matrix product: bounds memory at 256 MiB for 1,024 queries
_QUERY_ROWS = 1_024


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
    best = torch.empty(len(queries), 0)
    where = torch.empty(len(queries), 0, dtype=torch.int64)
    for start in range(0, len(embeddings), _BLOCK_ROWS):
        block = torch.from_numpy(np.ascontiguousarray(embeddings[start : start + _BLOCK_ROWS]))
        scores, positions = (queries @ block.T).topk(min(size, len(block)), dim=-1)
        best = torch.cat([best, scores], dim=-1)
        where = torch.cat([where, positions + start], dim=-1)
        best, keep = best.topk(min(size, best.shape[-1]), dim=-1)
        where = where.gather(-1, keep)
    result: Indices = where.numpy()
    return result


def _unit64(v: npt.NDArray[np.floating]) -> Similarities:
    wide = v.astype(np.float64)
    unit: Similarities = wide / np.maximum(np.linalg.norm(wide, axis=-1, keepdims=True), 1e-12)
    return unit
