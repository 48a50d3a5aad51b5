import numpy as np
import pytest

from audit.pairs import count_pairs, count_reaching, highest_nonmated, pair_blocks, threshold_above
from tests.audit.fakes import unit


@pytest.fixture(params=[7, 2048])
def pairs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[np.ndarray, ...]:
    """Vectors and codes, and all similarities computed the plain way."""
    monkeypatch.setattr("audit.pairs._BLOCK", request.param)
    vectors, codes = unit(np.random.default_rng(0), 40, 8), np.arange(40) // 3
    first, second = np.triu_indices(40, k=1)
    wide = vectors.astype(np.float64)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    return vectors, codes, (wide[first] * wide[second]).sum(axis=1), codes[first] == codes[second]


def test_pairs_are_counted_and_visited_once(pairs: tuple[np.ndarray, ...]) -> None:
    vectors, codes, scores, same = pairs
    assert count_pairs(codes) == (int((~same).sum()), int(same.sum()))
    visited = np.concatenate([found for found, _ in pair_blocks(vectors, codes)])
    np.testing.assert_allclose(np.sort(visited), np.sort(scores), atol=1e-12)


def test_the_highest_are_the_highest(pairs: tuple[np.ndarray, ...]) -> None:
    vectors, codes, scores, same = pairs
    np.testing.assert_allclose(highest_nonmated(vectors, codes, 25), np.sort(scores[~same])[::-1][:25], atol=1e-12)
    assert len(highest_nonmated(vectors, codes, 10_000)) == int((~same).sum())


def test_thresholds_let_exactly_so_many_through(pairs: tuple[np.ndarray, ...]) -> None:
    vectors, codes, scores, same = pairs
    top = highest_nonmated(vectors, codes, 60)
    thresholds = [threshold_above(top, allowed) for allowed in (30, 0, 5)]
    nonmated, mated = count_reaching(vectors, codes, thresholds)
    assert nonmated.tolist() == [30, 0, 5]
    assert mated.tolist() == [int((scores[same] >= threshold).sum()) for threshold in thresholds]
