"""What is read from 68 points, on heads whose pose and mouth are known by construction."""

import numpy as np
import pytest

from training.evaluation.landmarks68 import (
    _HEAD,
    _HEAD_POINTS,
    corner_lift,
    eye_opening,
    head_pose_deg,
    mouth_opening,
    smile,
)


def rotation(axis: int, degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    i, j = [(1, 2), (2, 0), (0, 1)][axis]
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = c
    matrix[i, j], matrix[j, i] = -s, s
    return matrix


@pytest.mark.parametrize("pose", [(0, 0, 0), (20, 0, 0), (0, -15, 0), (0, 0, 30), (-25, 10, -12), (35, 20, 15)])
def test_a_projected_head_has_the_pose_it_was_given(pose: tuple[float, float, float]) -> None:
    yaw, pitch, roll = pose
    turned = rotation(2, roll) @ rotation(0, pitch) @ rotation(1, -yaw) @ _HEAD.T
    points = np.zeros((68, 2))
    points[list(_HEAD_POINTS)] = 0.13 * turned[:2].T + (100, 80)
    assert head_pose_deg(points) == pytest.approx(pose, abs=1e-6)


def test_a_nose_to_the_right_is_a_positive_yaw_and_one_further_down_a_positive_pitch() -> None:
    points = np.zeros((68, 2))
    points[list(_HEAD_POINTS)] = _HEAD[:, :2]
    right, down = points.copy(), points.copy()
    right[30] += (60, 0)
    down[30] += (0, 60)
    assert head_pose_deg(right)[0] > 3 and head_pose_deg(down)[1] > 3


def face() -> np.ndarray:
    """A face looking ahead: open eyes, closed straight mouth."""
    points = np.zeros((68, 2))
    points[36:42] = [(0, 0), (10, -4), (20, -4), (30, 0), (20, 4), (10, 4)]
    points[42:48] = points[36:42] + np.array([60, 0])
    points[48], points[54], points[60], points[64] = (20, 80), (70, 80), (25, 80), (65, 80)
    points[[51, 57, 62, 66]] = [(45, 74), (45, 86), (45, 80), (45, 80)]
    points[[61, 63, 67, 65]] = [(35, 80), (55, 80), (35, 80), (55, 80)]
    return points


def test_openings_and_smile_are_ratios_that_scale_and_roll_do_not_change() -> None:
    points = face()
    assert mouth_opening(points) == 0 and eye_opening(points) == pytest.approx(8 / 30)
    assert smile(points) == pytest.approx(50 / 90) and corner_lift(points) == pytest.approx(0)
    happy = points.copy()
    happy[[48, 54]] += [(-5, -9), (5, -9)]
    happy[[65, 66, 67]] += (0, 8)
    assert mouth_opening(happy) == pytest.approx(8 / 40)
    assert smile(happy) > smile(points) and corner_lift(happy) == pytest.approx((82 - 71) / 90)
    tilted = 1.7 * happy @ rotation(2, 25)[:2, :2].T + (12, 40)
    for trait in (mouth_opening, eye_opening, smile, corner_lift):
        assert trait(tilted) == pytest.approx(trait(happy))
