"""What is left of the original in a picture that would be released: faces whose pixels are as they were."""

from collections.abc import Sequence

import numpy as np

from cfanet.records import Box, Detection, Detector, ImageArray

_COVERED = 0.5  # share of a found face that must lie in a replaced one to count as the same face
_UNCHANGED = 3.2  # mean absolute difference, of 255, below which a region is as it was (re-encoding gives 1 to 2)
_UNCHANGED_MOVING = 4.0  # the same in frames of videos, which encoders change more
# Where a region is excused from a close look, with distance from both: the networks may move it a little.
_SURELY_COVERED = 0.75
_SURELY = 2.0  # times as much
_CLEARLY = 1.25  # times as much, of a new face: the last look finds its box a little elsewhere
_CLEARLY_MOVING = 1.1  # the same in frames: what encoders change comes on top


def unchanged_faces(
    detector: Detector, original: ImageArray, released: ImageArray, replaced: Sequence[Box], moving: bool = False
) -> list[Detection]:
    """Faces of the released picture that lie in no replaced one, or whose pixels are as they were.

    Both pictures (H, W, 3) uint8 RGB of the same size; `moving`: they are frames of a video.
    """
    limit = _limit(moving)
    change = _Change(original, released)
    height, width = original.shape[:2]
    corner = np.array([width, height, width, height])

    def excused(boxes: np.ndarray) -> np.ndarray:
        hidden: np.ndarray = change.of(boxes) >= _SURELY * limit
        return hidden & (_covered(boxes, replaced) >= _SURELY_COVERED)

    left: list[Detection] = []
    for found in detector.detect_every(released, excused):
        box = np.clip([found.box], 0.0, corner)  # at the border they reach too far out (cfanet/detect.py)
        if _covered(box, replaced)[0] >= _COVERED and change.of(box)[0] >= limit:
            continue
        if not _covered(box, [other.box for other in left])[0] >= _COVERED:
            left.append(found)
    return left


def clearly_changed(original: ImageArray, candidate: ImageArray, box: Box, moving: bool = False) -> bool:
    """Whether the last look will see that the face in `box` was replaced; (H, W, 3) uint8 RGB both."""
    return bool(_Change(original, candidate).of(np.array([box]))[0] >= _clearly(moving) * _limit(moving))


def _limit(moving: bool) -> float:
    return _UNCHANGED_MOVING if moving else _UNCHANGED


def _clearly(moving: bool) -> float:
    return _CLEARLY_MOVING if moving else _CLEARLY


class _Change:
    """Mean absolute difference of two pictures inside any box."""

    def __init__(self, original: ImageArray, released: ImageArray) -> None:
        self._height, self._width = original.shape[:2]
        self._sums = np.zeros((self._height + 1, self._width + 1), np.int64)
        apart = np.abs(original.astype(np.int16) - released).sum(axis=2, dtype=np.int64)
        self._sums[1:, 1:] = apart.cumsum(axis=0).cumsum(axis=1)

    def of(self, boxes: np.ndarray) -> np.ndarray:
        """Difference of 255 inside (N, 4) boxes clipped to the picture, (N,) float64; 255 for those outside of it."""
        left, top = np.maximum(boxes[:, :2].astype(np.int64), 0).T
        right = np.minimum(np.maximum(left + 1, np.ceil(boxes[:, 2]).astype(np.int64)), self._width)
        bottom = np.minimum(np.maximum(top + 1, np.ceil(boxes[:, 3]).astype(np.int64)), self._height)
        pixels = np.maximum(right - left, 0) * np.maximum(bottom - top, 0)
        left, top = np.minimum(left, self._width), np.minimum(top, self._height)
        total = self._sums[bottom, right] - self._sums[top, right] - self._sums[bottom, left] + self._sums[top, left]
        return np.where(pixels > 0, total / np.maximum(3 * pixels, 1), 255.0)


def _covered(boxes: np.ndarray, others: Sequence[Box]) -> np.ndarray:
    """Largest share of each of (N, 4) boxes that lies inside one of `others`, (N,)."""
    if not others:
        return np.zeros(len(boxes))
    around = np.array(others)[None]
    corner = np.maximum(boxes[:, None, :2], around[..., :2])
    sides = np.minimum(boxes[:, None, 2:], around[..., 2:]) - corner
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)[:, None]
    share: np.ndarray = (np.maximum(sides, 0.0).prod(axis=2) / np.maximum(area, 1e-9)).max(axis=1)
    return share
