"""Pictures continued beyond their border: what is there lies where the window says."""

import numpy as np
import pytest

from cfanet.border import Window, carried_on, lie_inside, mirrored
from cfanet.records import ImageArray
from tests.cfanet.tiny import face_at


def ramp(height: int, width: int) -> ImageArray:
    """A picture whose red tells the column and whose green tells the row."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 0] = np.arange(width)
    picture[..., 1] = np.arange(height)[:, None]
    return picture


def told(window: Window, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the middles of a window's pixels lie by its word, and by its colours; both (h, w, 2), in the picture."""
    rows, columns = np.indices(window.pixels.shape[:2]) + 0.5
    return window.to_picture(np.stack([columns, rows], axis=-1)), window.pixels[..., :2].astype(float) + 0.5


@pytest.mark.parametrize("box", [(-40.0, 30.0, 60.0, 150.0), (130.0, -20.0, 190.0, 40.0), (60.0, 60.0, 72.0, 72.0)])
def test_what_is_carried_on_lies_where_it_lay_and_the_outermost_pixels_repeat(
    box: tuple[float, float, float, float],
) -> None:
    window = carried_on(ramp(160, 170), box)
    assert window.pixels.shape == (128, 128, 3)
    said, shown = told(window, 160, 170)
    np.testing.assert_allclose(shown, np.clip(said, 0.5, [169.5, 159.5]), atol=0.51)
    middle = window.to_picture(np.array([64.0, 64.0]))
    np.testing.assert_allclose(middle, [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])
    width = (window.to_picture(np.array([128.0, 0.0])) - window.to_picture(np.zeros(2)))[0]
    assert width == pytest.approx(1.6 * max(box[2] - box[0], box[3] - box[1]))


@pytest.mark.parametrize("shape", [(100, 120), (250, 200), (120, 20), (3, 2)])
def test_the_middle_of_a_mirrored_picture_lies_where_it_lay(shape: tuple[int, int]) -> None:
    window = mirrored(ramp(*shape))
    said, shown = told(window, *shape)
    inside = ((said > 1) & (said < np.array(shape[::-1]) - 1)).all(axis=2)
    np.testing.assert_allclose(shown[inside], said[inside], atol=1.6)
    if min(shape) > 10:
        assert inside.any() and (~inside).any()
        size = np.array(shape[::-1])
        folded = size - np.abs(size - np.abs(said))
        atol = 1.6 + 2 * window.zoom.max()  # the outermost pixel of the copy is not doubled
        np.testing.assert_allclose(shown[~inside], folded[~inside], atol=atol, err_msg="a mirror image")


def test_a_face_of_a_window_is_one_of_the_picture() -> None:
    window = Window(np.zeros((8, 8, 3), np.uint8), np.array([-5.0, 10.0]), np.array([2.0, 3.0]))
    there = face_at(4, 5, 2)
    face = window.face(there)
    assert face.box == pytest.approx((2 * 3 - 5, 3 * 3.8 + 10, 2 * 5 - 5, 3 * 6.2 + 10))
    assert face.score == there.score and face.landmarks.dtype == np.float32
    np.testing.assert_allclose(face.landmarks, there.landmarks * (2, 3) + (-5, 10))


def test_a_box_lies_inside_when_a_tenth_of_its_side_is_left_on_every_side() -> None:
    boxes = np.array([[5.0, 10, 55, 110], [4.9, 10, 55, 110], [5, 9.9, 55, 110], [40, 5, 91, 50], [40, 5, 90, 50]])
    assert lie_inside(boxes, 120, 95).tolist() == [True, False, False, False, True]
