import numpy as np
import pytest

from cfanet.correlation import Region, correlation


@pytest.mark.parametrize(("overlap", "places"), [(0.05, 63), (0.7, 18), (0.9, 0)])
def test_it_is_pearsons_r_of_what_both_know(overlap: float, places: int) -> None:
    random = np.random.default_rng(0)
    around = Region(random.normal(120, 40, (14, 17)), random.random((14, 17)) < 0.7)
    patch = Region(random.normal(120, 40, (8, 9)), random.random((8, 9)) < 0.6)
    expected = np.full((7, 9), -1.0)
    for row, column in np.ndindex(7, 9):
        here = (slice(row, row + 8), slice(column, column + 9))
        both = around.known[here] & patch.known
        if both.sum() >= overlap * patch.known.sum():
            expected[row, column] = np.corrcoef(around.values[here][both], patch.values[both])[0, 1]
    assert (expected > -1.0).sum() == places
    assert np.allclose(correlation(around, patch, overlap), expected, atol=1e-9)


def test_nothing_is_told_of_what_is_flat_or_unknown() -> None:
    flat, known = np.full((8, 8), 90.0), np.ones((8, 8), bool)
    random = Region(np.random.default_rng(0).normal(120, 40, (10, 10)), np.ones((10, 10), bool))
    for patch in (Region(flat, known), Region(random.values[:8, :8], ~known)):
        assert (correlation(random, patch, 0.5) == -1.0).all()
