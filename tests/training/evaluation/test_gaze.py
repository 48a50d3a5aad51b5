"""Painted eyes look where they were painted to, at any tilt; eyes that cannot be seen say nothing."""

import numpy as np
import pytest

from training.evaluation.gaze import gaze

OUTLINE = np.array([[-20, 0], [-8, -8], [8, -8], [20, 0], [8, 8], [-8, 8]], dtype=np.float64)


def eyes(offset: float, tilt_deg: float = 0.0) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Two white eyes on skin, each iris `offset` eye widths right of its middle."""
    turn = np.radians(tilt_deg)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    image = np.full((120, 200, 3), 180, np.uint8)
    y, x = np.mgrid[0:120, 0:200]
    outlines = []
    for centre in (np.array([60.0, 60.0]), np.array([140.0, 60.0])):
        outlines.append(OUTLINE @ rotation.T + centre)
        iris = centre + rotation @ np.array([40.0 * offset, 0.0])
        image[np.hypot(x - iris[0], y - iris[1]) < 6] = 20
    return image, (outlines[0], outlines[1])


@pytest.mark.parametrize("offset", [-0.15, 0.0, 0.2])
@pytest.mark.parametrize("tilt_deg", [0.0, 25.0])
def test_the_iris_is_found_at_any_tilt(offset: float, tilt_deg: float) -> None:
    assert gaze(*eyes(offset, tilt_deg)) == pytest.approx(offset, abs=0.04)


def test_a_mirror_turns_the_gaze() -> None:
    image, (one, two) = eyes(0.2)
    flipped = tuple((outline * (-1, 1) + (199, 0))[[3, 2, 1, 0, 5, 4]] for outline in (two, one))
    assert gaze(np.ascontiguousarray(image[:, ::-1]), (flipped[0], flipped[1])) == pytest.approx(-0.2, abs=0.04)


def test_closed_eyes_and_eyes_outside_the_picture_say_nothing() -> None:
    image, (one, _) = eyes(0.0)
    closed = np.stack([np.linspace(40, 80, 6)[[0, 1, 2, 5, 4, 3]], np.full(6, 60.0)], axis=1)
    assert gaze(image, (closed, one - 500)) is None
    assert gaze(image, (closed, one)) == pytest.approx(0.0, abs=0.04)
