"""Pasting generated crops back: a soft mask inside each face, and a hard border between neighbours.

Every pixel belongs to at most one face: the one whose ellipse it lies deepest in. So a crop, which may show a part of
a neighbour, never writes into that neighbour, and a neighbour's original pixels are never written back.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from cfanet.align import Matrix, invert, shift, transform_points
from cfanet.enlarge import Sharpness, enlarged, enlargement
from cfanet.records import ImageArray

# The face in the aligned crop, as an ellipse in units of its side: brow to chin, cheek to cheek.
_CENTRE = (0.5, 0.508)
_RADII = (0.47, 0.485)
_FEATHER = 0.46  # share of the radius over which the mask fades out
_FIRM_FEATHER = 0.15  # the same where below it there is nothing that is worth keeping

Window = tuple[int, int, int, int]
"""(left, top, right, bottom) whole pixels."""


@dataclass(frozen=True, eq=False)
class Patch:
    """One generated crop and where it goes."""

    crop: Tensor  # (1, 3, R, R) float32 in [-1, 1]
    matrix: Matrix  # picture → crop
    old: Sharpness | None = None  # of the face that was there, where the picture shows it larger than the crop


def window_of(matrix: Matrix, size: int, width: int, height: int) -> Window:
    """The pixels of a `width` × `height` picture that a crop of side `size` may change; may be empty."""
    turn = np.linspace(0.0, 2.0 * np.pi, 64, endpoint=False)
    ellipse = np.stack([_CENTRE[0] + _RADII[0] * np.cos(turn), _CENTRE[1] + _RADII[1] * np.sin(turn)], axis=1) * size
    points = transform_points(invert(matrix), ellipse)
    low, high = np.floor(points.min(0)) - 1, np.ceil(points.max(0)) + 2
    left, top = int(np.clip(low[0], 0, width)), int(np.clip(low[1], 0, height))
    return left, top, int(np.clip(high[0], left, width)), int(np.clip(high[1], top, height))


def depth(matrix: Matrix, size: int, window: Window) -> npt.NDArray[np.float64]:
    """Normalised distance from the face's centre for each pixel of `window`: 0 there, 1 on the ellipse; (h, w)."""
    left, top, right, bottom = window
    xs, ys = np.meshgrid(np.arange(left, right), np.arange(top, bottom))
    pixels = np.stack([xs.ravel(), ys.ravel()], axis=1).astype(np.float64)
    return _depth_at(pixels, matrix, size).reshape(bottom - top, right - left)


def lies_under(points: npt.NDArray[np.floating], patches: list[Patch]) -> bool:
    """Whether each of (n, 2) points of the picture lies where some patch shows nothing but its new face."""
    under = np.zeros(len(points), bool)
    for patch in patches:
        under |= _depth_at(points.astype(np.float64), patch.matrix, patch.crop.shape[-1]) <= 1.0 - _FEATHER
    return bool(under.all())


def _depth_at(points: npt.NDArray[np.float64], matrix: Matrix, size: int) -> npt.NDArray[np.float64]:
    crop = transform_points(matrix, points) / size
    rho: npt.NDArray[np.float64] = np.hypot(
        (crop[:, 0] - _CENTRE[0]) / _RADII[0], (crop[:, 1] - _CENTRE[1]) / _RADII[1]
    )
    return rho


def sharpness_at(image: ImageArray, matrix: Matrix, size: int) -> Sharpness | None:
    """How sharp the face is that a crop of side `size` would take the place of; None where that does not matter.

    Of an (H, W, 3) uint8 RGB picture; the mask is the face's own.
    """
    left, top, right, bottom = window = window_of(matrix, size, image.shape[1], image.shape[0])
    if left >= right or top >= bottom or enlargement(matrix) == 0.0:
        return None
    return Sharpness.of(image[top:bottom, left:right], _fade(depth(matrix, size, window), _FEATHER))


def paste(image: ImageArray, patches: list[Patch], firm: npt.NDArray[np.floating] | None = None) -> ImageArray:
    """Return a copy of an (H, W, 3) uint8 picture with every patch in its place, whatever their order.

    `firm` (H, W) in [0, 1] says where a patch is not to fade into the picture, as that shows nothing there.
    """
    result = image.copy()
    patches = sorted(
        patches, key=lambda patch: patch.matrix.ravel().tolist()
    )  # decides who owns a pixel at equal depth
    everyone = [(patch.matrix, patch.crop.shape[-1]) for patch in patches]
    for index, patch in enumerate(patches):
        window = window_of(patch.matrix, patch.crop.shape[-1], image.shape[1], image.shape[0])
        left, top, right, bottom = window
        if left >= right or top >= bottom:
            continue
        stays = np.zeros(()) if firm is None else firm[top:bottom, left:right]
        weight = _weight(index, everyone, window, stays)
        forward = invert(shift(patch.matrix, np.array([left, top], dtype=np.float64)))
        placed = enlarged(patch.crop, forward, weight, patch.old)
        region = image[top:bottom, left:right]
        weight = weight[..., None]
        blended = weight * placed + (1.0 - weight) * region
        # Later patches own other pixels, so the order does not matter where weights are not zero.
        result[top:bottom, left:right] = np.where(
            weight > 0.0, np.rint(blended).astype(np.uint8), result[top:bottom, left:right]
        )
    return result


def _weight(
    index: int, faces: list[tuple[Matrix, int]], window: Window, firm: npt.NDArray[np.floating]
) -> npt.NDArray[np.float64]:
    """(h, w) in [0, 1]: 1 inside the face, fading to 0 on its ellipse, and 0 where another face is deeper."""
    own = depth(*faces[index], window)
    weight = _fade(own, _FEATHER)
    weight += firm * (_fade(own, _FIRM_FEATHER) - weight)
    for other, (matrix, size) in enumerate(faces):
        if other != index:
            theirs = depth(matrix, size, window)
            weight = np.where(theirs <= own if other < index else theirs < own, 0.0, weight)
    return weight


def _fade(own: npt.NDArray[np.float64], feather: float) -> npt.NDArray[np.float64]:
    """From 1 inside the face to 0 on its ellipse, smoothly over `feather` of the radius."""
    return smoothstep((1.0 - own) / feather)


def smoothstep(value: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """From 0 at 0 to 1 at 1 without a corner, and the same before and beyond; of any shape."""
    step = np.clip(value, 0.0, 1.0)
    smooth: npt.NDArray[np.float64] = step * step * (3.0 - 2.0 * step)
    return smooth
