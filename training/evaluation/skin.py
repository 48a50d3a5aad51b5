"""Skin tone and lighting of a face. Pure functions on (H, W, 3) uint8 RGB pixels."""

import numpy as np
from skimage.color import rgb2lab

from cfanet.records import Box, ImageArray, Landmarks
from training.evaluation.picture_quality import inside


def skin_tone_deg(image: ImageArray, patches: list[Box]) -> float | None:
    """Individual typology angle (Chardon et al., 1991) in degrees: higher is lighter; None outside the picture.

    arctan((L* − 50)/b*) of the median colour of xyxy patches of skin.
    """
    colour = _median_lab(image, patches)
    return None if colour is None else float(np.degrees(np.arctan2(colour[0] - 50.0, colour[2])))


def cheeks_of_five(landmarks: Landmarks) -> list[Box]:
    """A square on each cheek, xyxy, half-way from the eye to the mouth's corner; (5, 2) pixels.

    `landmarks68.cheeks` finds them better, by points whose licence excludes commercial use.
    """
    half = 0.14 * float(np.linalg.norm(landmarks[1] - landmarks[0]))
    middles = ((landmarks[eye] + landmarks[corner]) / 2 for eye, corner in ((0, 3), (1, 4)))
    return [(float(x - half), float(y - half), float(x + half), float(y + half)) for x, y in middles]


def lightness(image: ImageArray, box: Box) -> float | None:
    """Mean L* in [0, 100] inside an xyxy box; None outside the picture."""
    region = inside(image, box)
    return float(rgb2lab(region)[..., 0].mean()) if region.size else None


def side_light(image: ImageArray, box: Box) -> float | None:
    """Mean L* of the right half of a box minus the left half: where the light comes from; None outside the picture."""
    middle = (box[0] + box[2]) / 2
    left = lightness(image, (box[0], box[1], middle, box[3]))
    right = lightness(image, (middle, box[1], box[2], box[3]))
    return None if left is None or right is None else right - left


def _median_lab(image: ImageArray, patches: list[Box]) -> np.ndarray | None:
    regions = [inside(image, patch).reshape(-1, 3) for patch in patches]
    pixels = np.concatenate(regions)
    if not len(pixels):
        return None
    median: np.ndarray = np.median(rgb2lab(pixels[None])[0], axis=0)
    return median
