"""The angle that reaches a target."""

import pytest

from training.evaluation.control import angle_reaching


def test_the_angle_lies_linearly_between_the_measured_ones() -> None:
    assert angle_reaching([0, 30, 60, 90], [1.0, 0.6, 0.2, 0.0], 0.1) == pytest.approx(75.0)
    assert angle_reaching([0, 30, 60], [1.0, 0.2, 0.2], 0.2) == pytest.approx(30.0)


def test_a_curve_that_rises_again_counts_from_its_last_crossing() -> None:
    assert angle_reaching([0, 30, 60, 90], [1.0, 0.0, 0.4, 0.0], 0.2) == pytest.approx(75.0)


def test_a_target_may_be_reached_at_once_or_never() -> None:
    assert angle_reaching([0, 30], [0.0, 0.0], 0.1) == 0.0
    assert angle_reaching([0, 30], [0.5, 0.4], 0.1) is None
