"""Fréchet distance, where it has a closed form."""

import numpy as np
import pytest

from training.evaluation.frechet import frechet_distance


def test_between_normal_distributions_it_is_the_closed_form() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.0, 1.0, (40_000, 4)), rng.normal(0.5, 2.0, (40_000, 4))
    assert frechet_distance(a, b) == pytest.approx(4 * 0.25 + 4 * (1 - 2) ** 2, rel=0.03)
    assert frechet_distance(a, a) == pytest.approx(0.0, abs=1e-6)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a))


def test_a_shift_alone_is_its_squared_length() -> None:
    rows = np.random.default_rng(1).normal(size=(50, 6))
    assert frechet_distance(rows, rows + 0.5) == pytest.approx(6 * 0.25)


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="more rows than columns"):
        frechet_distance(np.zeros((4, 4)), np.zeros((9, 4)))
