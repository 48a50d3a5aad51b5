"""How far the colour of a new face may leave that of the old one: an identity changes a face, not its make-up.

A generator finds that colour moves a recognizer as shape does: cheeks turn red, shadows yellow, lips are painted, and
a picture without colour gets some. Where an area's colour, not its brightness, changes by more than some levels, the
rest is taken back. What is smaller than an area, an iris or the edge of a lip, is the new face's own. In a small face
a shift is hardly seen, and leaves more ways to somebody new; in a close-up it is what is seen first.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

_SIGMA = 1 / 48  # of the Gaussian that tells areas from what is small, in units of the crop's side
_REACH = 3  # standard deviations after which it ends
_LEVEL = 1 / 127.5  # one grey level of 255, in units of crops
_CLOSE = 1 / 5  # of the limit that is left in close-ups
_COLOURED = 4.0  # levels by which the colours of a face vary at least; LFW's do by 5 to 21, without colour by 0.4
_RADII = (0.4, 0.41)  # of the face in the middle of a crop, in units of its side
# Luminance, Cb and Cr (ITU-R BT.601), all of the same scale as RGB.
_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))


def limit_colour(new: Tensor, old: Tensor, levels: float, close: Tensor) -> Tensor:
    """New crops (N, 3, R, R) in [-1, 1] whose colour, seen softly, is at most `levels` of 255 from that of the old.

    `old` has the same shape. Where `close` (N,) is 1 instead of 0 it is a fifth of that, and between them between;
    an old face without colour gives a new one without. Levels are those of Cb and Cr together. The luminance of every
    pixel stays what it is, so that values may leave [-1, 1] a little.
    """
    before, colour = soft_colour(old), _colour(new)
    after = _softly(colour)
    vivid = (_spread(before) / (_COLOURED * _LEVEL)).clamp_max(1.0)
    allowed = vivid * levels * _LEVEL * (1.0 - (1.0 - _CLOSE) * close.to(new)[:, None, None, None])
    shift = after - before
    size = shift.norm(dim=1, keepdim=True).clamp_min(torch.finfo(shift.dtype).tiny)
    excess = shift * (1.0 - allowed / size).clamp_min(0.0) + (1.0 - vivid) * (colour - after)
    return new - torch.einsum("ck,nkhw->nchw", _rgb_of_colour(new), excess)


def soft_colour(crops: Tensor) -> Tensor:
    """Cb and Cr of areas, without what is small: (N, 3, R, R) in [-1, 1] → (N, 2, R, R), of the same scale."""
    return _softly(_colour(crops))


def _colour(crops: Tensor) -> Tensor:
    """Cb and Cr, 0 where it is grey: (N, 3, R, R) → (N, 2, R, R)."""
    return torch.einsum("kc,nchw->nkhw", torch.tensor(_YCC[1:], device=crops.device, dtype=crops.dtype), crops)


def _rgb_of_colour(like: Tensor) -> Tensor:
    """(3, 2): what a change of Cb and Cr alone changes of RGB."""
    rgb: Tensor = torch.linalg.inv(torch.tensor(_YCC, dtype=torch.float64))
    return rgb[:, 1:].to(like)


def _spread(colour: Tensor) -> Tensor:
    """By how much the colours of a face differ from their mean: (N, 2, R, R) → (N, 1, 1, 1)."""
    side = colour.shape[-1]
    place = (torch.arange(side, device=colour.device, dtype=colour.dtype) + 0.5) / side - 0.5
    inner = (place / _RADII[0]).square()[None, :] + (place / _RADII[1]).square()[:, None] < 1.0
    face = colour[:, :, inner]
    return (face - face.mean(2, keepdim=True)).square().sum(1).mean(1).sqrt()[:, None, None, None]


def _softly(planes: Tensor) -> Tensor:
    """Without what is small, (N, C, R, R): a Gaussian, the outermost pixels repeated beyond the border."""
    sigma = _SIGMA * planes.shape[-1]
    reach = round(_REACH * sigma)
    place = torch.arange(-reach, reach + 1, device=planes.device, dtype=planes.dtype)
    kernel = torch.exp(-place.square() / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(planes.shape[1], 1, 1, -1)
    padded = F.pad(planes, (reach,) * 4, mode="replicate")
    across = F.conv2d(padded, kernel, groups=planes.shape[1])
    return F.conv2d(across, kernel.transpose(2, 3), groups=planes.shape[1])
