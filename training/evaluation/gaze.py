"""Where the eyes look, roughly: the dark of the iris inside each eye's outline. Pure functions on pixels and points.

68 landmarks have no pupils, so the pixels must say; a small or closed eye says nothing.
"""

import numpy as np
import numpy.typing as npt
from skimage.color import rgb2gray
from skimage.draw import polygon2mask

from cfanet.records import ImageArray

_FEWEST_PIXELS = 12  # inside an eye's outline; with fewer the iris is a matter of chance
_FLAT = 1e-3  # mean darkness below which there is no iris to be seen, of 1
Points = npt.NDArray[np.float64]


def gaze(image: ImageArray, eyes: tuple[Points, Points]) -> float | None:
    """How far the irises lie right of the middle of their eyes, in eye widths; None where no eye can say.

    `image` (H, W, 3) uint8 RGB; `eyes` are two outlines, (6, 2) pixels (x, y), corners at positions 0 and 3. The mean
    of both eyes, or the one that can be seen.
    """
    found = [value for eye in eyes if (value := _iris_offset(image, eye)) is not None]
    return float(np.mean(found)) if found else None


def _iris_offset(image: ImageArray, eye: Points) -> float | None:
    left, top = np.floor(eye.min(0)).astype(int)
    right, bottom = np.ceil(eye.max(0)).astype(int) + 1
    if left < 0 or top < 0 or right > image.shape[1] or bottom > image.shape[0]:
        return None
    grey = rgb2gray(image[top:bottom, left:right])
    inside = polygon2mask(grey.shape, eye[:, ::-1] - (top, left))
    if inside.sum() < _FEWEST_PIXELS:
        return None
    darkness = np.where(inside, (grey[inside].mean() - grey).clip(0.0), 0.0)
    if darkness.sum() < _FLAT * inside.sum():
        return None
    rows, columns = np.mgrid[0 : grey.shape[0], 0 : grey.shape[1]]
    iris = np.array([np.average(columns, weights=darkness) + left, np.average(rows, weights=darkness) + top])
    across = eye[3] - eye[0]
    middle = (eye[3] + eye[0]) / 2
    return float((iris - middle) @ across / (across @ across))
