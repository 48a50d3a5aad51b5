"""Intervals, against other ways to compute them."""

import numpy as np
import pytest
from scipy.stats import bootstrap, pearsonr, ttest_1samp

from training.evaluation.quantities import NotMeasured, correlation, mean, plain, proportion

VALUES = np.random.default_rng(0).normal(3, 2, 60)


def test_a_mean_has_students_interval() -> None:
    found, expected = mean(VALUES.tolist()), ttest_1samp(VALUES, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.value == pytest.approx(VALUES.mean()) and found.n == 60
    drawn = bootstrap((VALUES,), np.mean, rng=np.random.default_rng(1)).confidence_interval
    assert (found.low, found.high) == pytest.approx((drawn.low, drawn.high), abs=0.1)


def test_too_few_values_have_no_interval_and_nan_is_refused() -> None:
    assert mean([]).value is None and mean([2.0]).low is None and mean([2.0]).value == 2.0
    with pytest.raises(ValueError, match="NaN"):
        mean([1.0, float("nan")])


def test_a_correlation_is_scipys() -> None:
    other = VALUES + np.random.default_rng(2).normal(0, 1, 60)
    found, expected = correlation(VALUES.tolist(), other.tolist()), pearsonr(VALUES, other)
    interval = expected.confidence_interval(0.95)
    assert found.value == pytest.approx(expected.statistic)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert correlation([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]).value is None


def test_a_number_shows_all_that_belongs_to_it() -> None:
    assert str(proportion(1, 1000)) == "0.0010 [2.5e-05, 0.0056] (1 of 1,000)"
    assert str(proportion(0, 0)) == "– (n = 0)"
    assert str(plain(12.5, 4)) == "12.50 (n = 4)"
    assert str(NotMeasured("no weights")) == "not measured: no weights"
