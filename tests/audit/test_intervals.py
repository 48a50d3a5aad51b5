import math

import pytest

from audit.intervals import clopper_pearson, rate, rule_of_three, trials_for, upper_bound, wilson


def _tail(hits: int, n: int, p: float) -> float:
    """P(X ≥ hits) of a binomial, summed term by term."""
    return sum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(hits, n + 1))


@pytest.mark.parametrize(("hits", "n"), [(1, 10), (3, 40), (17, 50), (49, 50)])
def test_clopper_pearson_inverts_the_binomial_tails(hits: int, n: int) -> None:
    low, high = clopper_pearson(hits, n)
    assert _tail(hits, n, low) == pytest.approx(0.025, rel=1e-6)
    assert 1 - _tail(hits + 1, n, high) == pytest.approx(0.025, rel=1e-6)


def test_known_intervals() -> None:
    assert clopper_pearson(0, 100) == pytest.approx((0.0, 0.0362167), abs=1e-6)
    assert clopper_pearson(100, 100) == pytest.approx((0.9637833, 1.0), abs=1e-6)
    assert wilson(10, 50) == pytest.approx((0.1124, 0.3304), abs=1e-4)


@pytest.mark.parametrize(("hits", "n"), [(0, 5), (2, 5), (5, 5), (30, 1000)])
def test_intervals_hold_the_rate_and_grow_with_confidence(hits: int, n: int) -> None:
    for interval in (clopper_pearson, wilson):
        low, high = interval(hits, n, 0.95)
        wide_low, wide_high = interval(hits, n, 0.99)
        assert wide_low <= low <= hits / n <= high <= wide_high


def test_the_rule_of_three_bounds_what_no_hit_leaves_open() -> None:
    assert rule_of_three(300) == pytest.approx(3 / 300, rel=2e-3)
    assert upper_bound(0, 300) <= rule_of_three(300)
    assert upper_bound(0, 300) == pytest.approx(rule_of_three(300), rel=1e-2)
    needed = trials_for(1e-3)
    assert rule_of_three(needed) <= 1e-3 < rule_of_three(needed - 1)


def test_no_trials_give_no_rate() -> None:
    empty = rate(0, 0)
    assert (empty.value, empty.low, empty.high) == (None, None, None)


@pytest.mark.parametrize(("hits", "n"), [(-1, 5), (6, 5), (0, -1), (1, 0)])
def test_impossible_counts_are_refused(hits: int, n: int) -> None:
    with pytest.raises(ValueError, match="hits"):
        rate(hits, n)
