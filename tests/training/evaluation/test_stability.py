import numpy as np
import pytest

from tests.cfanet.portraits import eileen_collins
from training.evaluation.stability import (
    aligned,
    consecutive_similarity,
    flicker,
    jitter,
    luminance,
    restlessness,
    similarity_to_mean,
)

FIVE = np.array([[30, 40], [60, 40], [45, 55], [35, 70], [55, 70]], np.float32)


def unit(*degrees: float) -> np.ndarray:
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def test_identity_that_turns_by_a_fixed_angle() -> None:
    assert consecutive_similarity(unit(0, 10, 20, 30)) == pytest.approx(np.cos(np.radians(10)), abs=1e-6)
    assert similarity_to_mean(unit(-10, 10)) == pytest.approx(np.cos(np.radians(10)), abs=1e-6)
    assert similarity_to_mean(unit(5, 5, 5)) == pytest.approx(1.0, abs=1e-6)


def test_even_motion_is_no_jitter_and_jitter_is_relative_to_the_face() -> None:
    even = [FIVE + np.float32(7 * n) for n in range(6)]
    assert jitter(even, [40.0] * 6) == pytest.approx(0.0, abs=1e-4)
    shaken = [five + np.float32(n % 2) for n, five in enumerate(even)]  # second difference (2, 2) px in every point
    assert jitter(shaken, [40.0] * 6) == pytest.approx(100 * np.sqrt(8) / 40, rel=1e-4)
    assert jitter(shaken, [80.0] * 6) == pytest.approx(100 * np.sqrt(8) / 80, rel=1e-4)


def test_flicker_is_what_brightness_changes_by() -> None:
    assert flicker([100.0, 102.0, 99.0]) == pytest.approx(2.5)
    grey = np.full((20, 30, 3), 80, np.uint8)
    assert luminance(grey, (5, 5, 15, 15)) == pytest.approx(80.0)
    assert luminance(grey, (40, 40, 50, 50)) == 0.0


def test_a_face_that_is_moved_by_the_camera_alone_is_at_rest() -> None:
    image = eileen_collins()
    points = (FIVE * 1.5 + np.array([155, 70], np.float32)).astype(np.float32)
    moved = np.roll(image, (3, 5), axis=(0, 1))
    still = [aligned(image, points), aligned(moved, points + np.array([5, 3], np.float32))]
    assert still[0].shape == (64, 64, 3)
    assert restlessness(still) < 0.1 < 5 < restlessness([still[0], aligned(image, points + np.float32(8))])
