"""Skin tone and lighting of colours that are known."""

import numpy as np
import pytest

from tests.cfanet.tiny import face_at
from training.evaluation.skin import cheeks_of_five, lightness, side_light, skin_tone_deg


def plain_picture(colour: tuple[int, int, int]) -> np.ndarray:
    return np.full((40, 60, 3), colour, dtype=np.uint8)


def test_lighter_skin_has_the_larger_angle() -> None:
    patch = [(5.0, 5.0, 15.0, 15.0), (30.0, 5.0, 40.0, 15.0)]
    dark, light = (skin_tone_deg(plain_picture(c), patch) for c in ((90, 60, 45), (235, 200, 180)))
    assert dark is not None and light is not None and dark < 0 < 41 < light
    assert skin_tone_deg(plain_picture((90, 60, 45)), [(100.0, 0.0, 110.0, 10.0)]) is None


def test_lightness_is_that_of_lab_and_the_side_is_where_it_is_lighter() -> None:
    box = (10.0, 10.0, 50.0, 30.0)
    assert lightness(plain_picture((119, 119, 119)), box) == pytest.approx(50.0, abs=0.2)  # CIELAB's middle grey
    half = plain_picture((119, 119, 119))
    half[:, 30:] = 255
    assert side_light(half, box) == pytest.approx(50.0, abs=0.2)
    assert side_light(half[:, ::-1], box) == pytest.approx(-50.0, abs=0.2)


def test_cheeks_lie_below_the_eyes_and_above_the_mouth() -> None:
    five = face_at(100, 100, 80).landmarks
    boxes = cheeks_of_five(five)
    assert len(boxes) == 2 and boxes[0][2] < five[2][0] < boxes[1][0], "one on each side of the nose"
    for box in boxes:
        assert five[:2, 1].max() < box[1] and box[3] < five[3:, 1].min()
