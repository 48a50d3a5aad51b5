"""A face's fine structure: how much of it a new face in its place still shows, and a look with less of it.

Two windows are looked through: an aligned crop, and the middle of the box of a detection in its picture, of which 576
bytes can be kept. A new face can look like the old one through either alone.
"""

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from cfanet.align import at_resolution
from cfanet.records import Box, ImageArray

_TOP, _BOTTOM, _LEFT, _RIGHT = 0.25, 0.85, 0.22, 0.78  # eyes, nose and mouth in an aligned crop, shares of its side
_MARGIN = 0.2  # of a box that is no part of its middle
_SIDE = 24  # the structure is that of so many pixels along a side …
_WINDOW = 7  # … without local means over so many: shading and light do not count
_SOFT = 0.3  # share of a crop's side to which it is softened: training saw sources from 0.2 to 0.7 of theirs
_FLAT = 1.5 / 127.5  # standard deviation, of 2, below which there is no structure to compare
_MIN_SIDE = 12  # pixels across the middle of a box, so 20 px across the face: smaller ones are not told apart


def structure_correlation(old: Tensor, new: Tensor) -> float:
    """Correlation of the fine structure of two aligned crops (1, 3, R, R) float32 in [-1, 1]; 0 where one is flat.

    Re-encoded, brightened and a little blurred faces stay near 1, unrelated ones near 0.
    """
    return float(structure_correlations(old, new)[0])


def structure_correlations(old: Tensor, new: Tensor) -> Tensor:
    """`structure_correlation` of each of (N, 3, R, R) crops with its new one: (N,) float64, with gradients."""
    return _correlations(_middle_of_crops(old), _middle_of_crops(new))


def face_patch(image: ImageArray, box: Box) -> bytes:
    """The middle of the face in a box as 24 × 24 grey pixels (576 bytes) of (H, W, 3) uint8 RGB; empty without area.

    Only eyes, nose and mouth: hair and background are as they were in an anonymized picture too.
    """
    x1, y1, x2, y2 = _middle_of_box(box, image.shape[1], image.shape[0])
    if x2 - x1 < 1 or y2 - y1 < 1:
        return b""
    left, top = int(x1), int(y1)
    grey = Image.fromarray(image[top : int(y2) + 1, left : int(x2) + 1]).convert("L")
    inner = (x1 - left, y1 - top, x2 - left, y2 - top)
    return grey.resize((_SIDE, _SIDE), Image.Resampling.BOX, box=inner).tobytes()


def patch_correlation(first: bytes, second: bytes, width: float) -> float | None:
    """Correlation of the fine structure of two patches of `face_patch`; None where nothing can be told from them.

    `width` is that of the smaller face's box, in pixels: no more is known of both. Brightness, contrast and soft
    shading do not count.
    """
    inner = (1 - 2 * _MARGIN) * width
    if not (first and second) or inner < _MIN_SIDE:
        return None
    side = min(_SIDE, int(inner))
    return float(_correlations(_grey(first, side), _grey(second, side))[0])


def soften(crop: Tensor) -> Tensor:
    """An aligned crop (1, 3, R, R) float32 as if it had been seen at 0.3 of its resolution; (1, 3, R, R)."""
    return at_resolution(crop, int(crop.shape[-1] * _SOFT), "bicubic")


def _middle_of_crops(crops: Tensor) -> Tensor:
    side = crops.shape[-1]
    inner = crops[..., round(side * _TOP) : round(side * _BOTTOM), round(side * _LEFT) : round(side * _RIGHT)]
    return F.adaptive_avg_pool2d(inner.double().mean(1, keepdim=True), _SIDE)


def _middle_of_box(box: Box, width: int, height: int) -> Box:
    """The inner part of a box that lies in the picture: less above, because that is forehead and hair."""
    x, y = _MARGIN * (box[2] - box[0]), _MARGIN * (box[3] - box[1])
    return max(box[0] + x, 0.0), max(box[1] + y, 0.0), min(box[2] - x, width), min(box[3] - y / 2, height)


def _grey(patch: bytes, side: int) -> Tensor:
    """(1, 1, side, side) float64 in [-1, 1]."""
    image = Image.frombytes("L", (_SIDE, _SIDE), patch).convert("F").resize((side, side), Image.Resampling.BOX)
    return torch.from_numpy(np.asarray(image, dtype=np.float64))[None, None] / 127.5 - 1.0


def _correlations(old: Tensor, new: Tensor) -> Tensor:
    """Of the fine structure of (N, 1, S, S) grey pictures in [-1, 1]; (N,), 0 where one is flat."""
    a, b = _fine(old), _fine(new)
    spread_a, spread_b = (fine.square().mean((1, 2, 3)).sqrt() for fine in (a, b))
    flat = torch.minimum(spread_a, spread_b) < _FLAT
    correlation = (a * b).mean((1, 2, 3)) / (spread_a * spread_b).clamp_min(_FLAT**2)
    return correlation.clamp_max(1.0).masked_fill(flat, 0.0)


def _fine(grey: Tensor) -> Tensor:
    """(N, 1, S, S) without its local means."""
    padded = F.pad(grey, [_WINDOW // 2] * 4, mode="replicate")
    fine = grey - F.avg_pool2d(padded, _WINDOW, stride=1)
    centred: Tensor = fine - fine.mean((2, 3), keepdim=True)
    return centred
