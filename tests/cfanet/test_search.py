import numpy as np
import pytest

from cfanet.search import References, angle_deg, pair_similarity, search

RNG = np.random.default_rng(0)


def unit(n: int, d: int = 64) -> np.ndarray:
    rows = RNG.normal(size=(n, d)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def brute_force(queries: np.ndarray, references: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    q, r = queries.astype(np.float64), references.astype(np.float64)
    q, r = q / np.linalg.norm(q, axis=1, keepdims=True), r / np.linalg.norm(r, axis=1, keepdims=True)
    scores = q @ r.T
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, 1), order


@pytest.mark.parametrize(("n", "k"), [(1, 1), (7, 3), (500, 5), (4001, 3)])
def test_equals_brute_force(n: int, k: int) -> None:
    queries, references = unit(50), unit(n)
    scores, positions = search(queries, References(tuple(map(str, range(n))), references), k)
    expected_scores, expected_positions = brute_force(queries, references, k)
    assert np.array_equal(positions, expected_positions)
    assert np.allclose(scores, expected_scores, atol=1e-12)


def test_crosses_block_borders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cfanet.search._BLOCK_ROWS", 13)
    monkeypatch.setattr("cfanet.search._QUERY_ROWS", 7)
    queries, references = unit(20), unit(100)
    _, positions = search(queries, References(tuple(map(str, range(100))), references), 4)
    assert np.array_equal(positions, brute_force(queries, references, 4)[1])


def test_does_not_depend_on_the_batch_or_the_order_of_queries() -> None:
    queries, references = unit(64), References(tuple(map(str, range(300))), unit(300))
    together = search(queries, references, 3)
    alone = [search(query[None], references, 3) for query in queries]
    reverse = search(queries[::-1].copy(), references, 3)
    assert np.array_equal(together[0], np.concatenate([a[0] for a in alone]))
    assert np.array_equal(together[1], np.concatenate([a[1] for a in alone]))
    assert np.array_equal(together[0], reverse[0][::-1])


def test_equal_similarities_come_in_order_of_position() -> None:
    one = unit(1)
    references = References(("a", "b", "c"), np.repeat(one, 3, axis=0))
    assert search(one, references, 3)[1].tolist() == [[0, 1, 2]]


def test_more_neighbours_than_references_are_refused() -> None:
    with pytest.raises(ValueError, match="gallery of 2"):
        search(unit(1), References(("a", "b"), unit(2)), 3)


def test_angle_and_similarity_agree() -> None:
    u, v = unit(30), unit(30)
    assert np.allclose(np.cos(np.radians(angle_deg(u, v))), pair_similarity(u, v), atol=1e-12)
    assert angle_deg(u, u).max() < 1e-5
