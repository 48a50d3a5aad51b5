"""Obscuring a face without a generator: blur, pixelate, mask, inpaint. What replaces it cannot be turned back into it.

Everything is relative to the face, never to the picture. The *core* is the face box grown by CORE_MARGIN of its longer
side; inside it no original pixel has any weight. Around the core, a band of FEATHER of the same side fades into the
picture; only pixels of that band, all outside the core, are still visible in part.

- `pixelate`: at most MAX_BLOCKS × MAX_BLOCKS block means over the whole region, band included.
- `blur`: the same block means, then a Gaussian of a third of the face's longer side. It is a function of the block
  means alone, so no deconvolution gets more out of it than the (at most 36) colours that `pixelate` shows.
- `mask`: one constant grey. It says where a face was and how large, and nothing else.
- `inpaint`: what surrounds the region, carried on smoothly into it: a function of pixels that are still there to be
  seen. Where it would leave nearly what was there, it is some steps lighter or darker; this choice is all that the
  face decides. Where nothing surrounds it, it is the mask's grey.
"""

import math
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from cfanet.errors import InputError
from cfanet.inpaint import inpaint
from cfanet.records import Box, ImageArray

ObscureKind = Literal["blur", "pixelate", "mask", "inpaint"]

CORE_MARGIN = 0.15  # of the box's longer side, on each side: chin, ears and hairline
FEATHER = 0.10  # of the same side: width of the band that fades
MAX_BLOCKS = 6  # across the longer side of the region
MIN_BLOCK_PX = 4.0  # so that a face of a dozen pixels does not keep half of them
MIN_FACE_PX = 8.0  # a smaller or empty box is treated as this large: something is always obscured
BLUR_SIGMA = 1 / 3  # of the box's longer side
MASK_GREY = 128
RING = 0.15  # of the same side: how far from the region pixels are taken to fill it, at least
MIN_CHANGE = 12.0  # grey levels, mean of the core: what is filled more faithfully could count as untouched
TONE = 2 * MIN_CHANGE  # by how much such a fill is lighter or darker: then it differs by MIN_CHANGE and more


def obscure(
    image: ImageArray, box: Box, kind: ObscureKind, others: Sequence[Box] = (), original: ImageArray | None = None
) -> ImageArray:
    """Return a copy of the picture in which the face in `box` is obscured beyond recovery.

    `image` is (H, W, 3) uint8 RGB and is not changed; `box` is xyxy pixels and may leave the picture, be empty or have
    its corners swapped. A box wholly outside the picture changes nothing. `others` are further faces of the picture:
    nothing of theirs is carried into this one's place. `original` is the same picture before anything was done to it,
    where something was: what is filled in must differ from that, not from what already covers it. Raises InputError on
    an unknown kind, a box that is not finite or an array that is no picture.
    """
    if kind not in get_args(ObscureKind):
        raise InputError(f'obscurer "{kind}" is unknown: use one of {", ".join(get_args(ObscureKind))}')
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise InputError(f"a picture is (H, W, 3) uint8, this array is {image.shape} {image.dtype}")
    face = _face(box)
    left, top, right, bottom = obscured_region(face, image.shape[1], image.shape[0])
    result = image.copy()
    if left >= right or top >= bottom:
        return result
    region = image[top:bottom, left:right]
    side = _longer_side(face)
    cover: npt.NDArray[np.uint8] | npt.NDArray[np.float64]
    match kind:
        case "mask":
            cover = np.full(region.shape, MASK_GREY, np.uint8)
        case "pixelate":
            cover = np.asarray(_blocks(region, side, Image.Resampling.NEAREST))
        case "blur":
            soft = _blocks(region, side, Image.Resampling.BILINEAR)
            cover = np.asarray(soft.filter(ImageFilter.GaussianBlur(side * BLUR_SIGMA)))
        case "inpaint":
            cover = _filled(image, face, (left, top, right, bottom), others, image if original is None else original)
    weight = cover_weight(face, (left, top, right, bottom))[..., None]
    blended = weight * cover + (1.0 - weight) * region
    result[top:bottom, left:right] = np.rint(blended).astype(np.uint8)
    return result


def obscured_region(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """Whole pixels that `obscure` may change: core and band, clipped to the picture; (left, top, right, bottom)."""
    x0, y0, x1, y1 = _face(box)
    grow = (CORE_MARGIN + FEATHER) * _longer_side((x0, y0, x1, y1))
    left, top = max(0, math.floor(x0 - grow)), max(0, math.floor(y0 - grow))
    right, bottom = min(width, math.ceil(x1 + grow)), min(height, math.ceil(y1 + grow))
    return left, top, right, bottom


def cover_weight(box: Box, region: tuple[int, int, int, int]) -> npt.NDArray[np.float64]:
    """Weight of a cover in its `obscured_region`, (h, w) in [0, 1]: 1 in the core, falling smoothly to 0 outside."""
    face = _face(box)
    side = _longer_side(face)
    margin, feather = CORE_MARGIN * side, max(FEATHER * side, 1e-6)
    left, top, right, bottom = region
    # A pixel is an area: its nearest edge decides, so that a pixel touching the core belongs to it.
    x, y = np.arange(left, right), np.arange(top, bottom)
    dx = np.maximum(np.maximum(face[0] - margin - (x + 1), x - (face[2] + margin)), 0.0)
    dy = np.maximum(np.maximum(face[1] - margin - (y + 1), y - (face[3] + margin)), 0.0)
    distance = np.clip(np.hypot(dx[None, :], dy[:, None]) / feather, 0.0, 1.0)
    weight: npt.NDArray[np.float64] = 0.5 + 0.5 * np.cos(np.pi * distance)
    return weight


def _filled(
    image: ImageArray, face: Box, region: tuple[int, int, int, int], others: Sequence[Box], original: ImageArray
) -> npt.NDArray[np.float64]:
    """The region (left, top, right, bottom) as its surroundings would have it, (h, w, 3) in [0, 255]."""
    left, top, right, bottom = region
    before = original[top:bottom, left:right]
    rows, columns, known = _surroundings(face, region, others, image.shape[:2])
    if not known.any():
        return np.full(before.shape, float(MASK_GREY))
    around = inpaint(image[rows, columns].astype(np.float64), known)
    filled = around[top - rows.start : bottom - rows.start, left - columns.start : right - columns.start]
    core = cover_weight(face, region) == 1.0
    if not core.any() or np.abs(filled - before)[core].mean() >= MIN_CHANGE:
        return filled
    return np.clip(filled + (TONE if filled.mean() < MASK_GREY else -TONE), 0.0, 255.0)


def _surroundings(
    face: Box, region: tuple[int, int, int, int], others: Sequence[Box], size: tuple[int, ...]
) -> tuple[slice, slice, npt.NDArray[np.bool_]]:
    """Rows and columns around a region, and what of them, (h, w), lies outside of every face's.

    As far around as RING says, and twice as far again and again where nothing there is outside of every face.
    """
    height, width = size
    hidden = [region, *(obscured_region(other, width, height) for other in others)]
    ring = max(2, math.ceil(RING * _longer_side(face)))
    while True:
        left, top = max(0, region[0] - ring), max(0, region[1] - ring)
        right, bottom = min(width, region[2] + ring), min(height, region[3] + ring)
        known = np.ones((bottom - top, right - left), bool)
        for x0, y0, x1, y1 in hidden:
            known[max(0, y0 - top) : max(0, y1 - top), max(0, x0 - left) : max(0, x1 - left)] = False
        if known.any() or known.shape == size:
            return slice(top, bottom), slice(left, right), known
        ring *= 2


def _face(box: Box) -> Box:
    """The box with ordered corners and sides of at least MIN_FACE_PX."""
    if not all(math.isfinite(value) for value in box):
        raise InputError(f"box {box} is not finite: give xyxy pixels")
    x0, x1 = _at_least(*sorted((float(box[0]), float(box[2]))))
    y0, y1 = _at_least(*sorted((float(box[1]), float(box[3]))))
    return x0, y0, x1, y1


def _at_least(low: float, high: float) -> tuple[float, float]:
    missing = max(0.0, MIN_FACE_PX - (high - low)) / 2
    return low - missing, high + missing


def _longer_side(box: Box) -> float:
    return max(box[2] - box[0], box[3] - box[1])


def _blocks(region: ImageArray, side: float, enlarge: Image.Resampling) -> Image.Image:
    """The region's block means (exact area averages), enlarged to its size again."""
    height, width = region.shape[:2]
    block = max(side * (1 + 2 * (CORE_MARGIN + FEATHER)) / MAX_BLOCKS, MIN_BLOCK_PX)
    counts = tuple(min(MAX_BLOCKS, max(1, math.floor(length / block))) for length in (width, height))
    means = Image.fromarray(np.ascontiguousarray(region)).resize((counts[0], counts[1]), Image.Resampling.BOX)
    return means.resize((width, height), enlarge)
