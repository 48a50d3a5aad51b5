"""A face's fine structure: how much of it a new face in its place still shows, and a look with less of it."""

import torch
import torch.nn.functional as F
from torch import Tensor

from cfanet.align import at_resolution

_TOP, _BOTTOM, _LEFT, _RIGHT = 0.25, 0.85, 0.22, 0.78  # eyes, nose and mouth in an aligned crop, shares of its side
_SIDE = 24  # the structure is that of so many pixels along a side …
_WINDOW = 7  # … without local means over so many: shading and light do not count
_SOFT = 0.3  # share of a crop's side to which it is softened: training saw sources from 0.2 to 0.7 of theirs
_FLAT = 0.01  # standard deviation, of 2, below which there is no structure to compare


def structure_correlation(old: Tensor, new: Tensor) -> float:
    """Correlation of the fine structure of two aligned crops (1, 3, R, R) float32 in [-1, 1]; 0 where one is flat.

    Re-encoded, brightened and a little blurred faces stay near 1, unrelated ones near 0.
    """
    a, b = _fine(old), _fine(new)
    if min(float(a.std()), float(b.std())) < _FLAT:
        return 0.0
    return min(1.0, float((a * b).mean() / (a.std(correction=0) * b.std(correction=0))))


def soften(crop: Tensor) -> Tensor:
    """An aligned crop (1, 3, R, R) float32 as if it had been seen at 0.3 of its resolution; (1, 3, R, R)."""
    return at_resolution(crop, int(crop.shape[-1] * _SOFT), "bicubic")


def _fine(crop: Tensor) -> Tensor:
    side = crop.shape[-1]
    inner = crop[..., round(side * _TOP) : round(side * _BOTTOM), round(side * _LEFT) : round(side * _RIGHT)]
    grey = F.adaptive_avg_pool2d(inner.double().mean(1, keepdim=True), _SIDE)
    padded = F.pad(grey, [_WINDOW // 2] * 4, mode="replicate")
    fine = grey - F.avg_pool2d(padded, _WINDOW, stride=1)
    centred: Tensor = fine - torch.mean(fine)
    return centred
