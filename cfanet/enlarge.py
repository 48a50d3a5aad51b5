"""A generated crop where the picture shows it larger than it was made: as sharp as the face that was there.

Merely enlarged, new faces of 128 px are soft in pictures of large faces, and without the grain of their picture. So
what is finest in the crop is raised before, by unsharp masking, until its edges are about as strong as the old face's,
and noise of the picture's strength is added. Of the old face no pixel is taken, two numbers only: the mean square of
its gradient, and how much of that is noise.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from cfanet.align import Matrix, invert, resample, sample, scale_of
from cfanet.records import ImageArray

_FROM, _WHOLE = 1.25, 1.75  # picture pixels per crop pixel between which it sets in: smaller faces are sharp enough
_SIGMA = 0.6  # crop pixels: what a Gaussian of this takes away is raised
_SHARE = 0.9  # of the old face's gradient: as much as costs no likeness (docs/LOG.md, 2026-11-29)
_MOST = 3.0  # times what is there: beyond it, only what is wrong with a crop would be raised
_MEDIAN = 0.6745  # of the absolute value of a standard normal variable
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601

Plane = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Sharpness:
    """What is taken of an old face for the sake of the new one."""

    gradient: float  # mean square of the luminance's, squared grey levels a pixel, without what noise makes of it
    noise: float  # standard deviation, grey levels

    @classmethod
    def of(cls, picture: ImageArray, weight: Plane) -> "Sharpness":
        """Of the face in (h, w, 3) uint8 RGB that a mask (h, w) in [0, 1] says is there."""
        luminance = picture @ _LUMA
        noise, slope = _noise(luminance, weight), _gradient(luminance)
        # Of two differences between two pixels each, noise makes four times its variance.
        return cls(max(_mean(weight, slope, slope) - 4.0 * noise**2, 0.0), noise)


def enlargement(matrix: Matrix) -> float:
    """0 where a picture shows a crop about as large as it is, 1 where much larger; `matrix`: picture → crop."""
    return _share(scale_of(invert(matrix)))


def enlarged(crop: Tensor, forward: Matrix, weight: Plane, old: Sharpness | None) -> Plane:
    """The crop (1, 3, R, R) in [-1, 1] as a picture sees it under `forward` (crop → picture); (h, w, 3) in [0, 255].

    `weight` (h, w) in [0, 1] says how much of the picture the new face takes, `old` how sharp the old one was. Where
    that is not given, or faces are hardly larger than the crop, it is resampled and nothing else.
    """
    share = 0.0 if old is None else _share(scale_of(forward))
    if old is not None and share == 1.0:
        return _sharp(crop, forward, weight, old)
    plain = (resample(crop, forward, weight.shape)[0].permute(1, 2, 0).double().clamp(-1.0, 1.0) + 1.0).numpy() * 127.5
    if old is None or share == 0.0:
        return plain
    return plain + share * (_sharp(crop, forward, weight, old) - plain)


def _share(scale: float) -> float:
    return float(np.clip((scale - _FROM) / (_WHOLE - _FROM), 0.0, 1.0))


def _sharp(crop: Tensor, forward: Matrix, weight: Plane, old: Sharpness) -> Plane:
    """The same, float32, where the picture shows the crop larger than it is: finest parts raised, grain added."""
    crop = crop.clamp(-1.0, 1.0)
    both = sample(torch.cat([crop, _finest(crop)], dim=1), invert(forward), weight.shape, "bicubic")
    placed = (both[0].permute(1, 2, 0) * 127.5).numpy()
    smooth, fine = placed[..., :3] + 127.5, placed[..., 3:]
    sharp: Plane = smooth + _amount(smooth @ _LUMA, fine @ _LUMA, weight, old.gradient) * fine
    missing = old.noise**2 - _noise(sharp @ _LUMA, weight) ** 2
    if missing > 0.0:  # always the same grain: it tells nothing
        grain = np.random.default_rng(0).standard_normal(weight.shape, dtype=np.float32)
        sharp += np.sqrt(missing) * grain[..., None]
    return sharp.clip(0.0, 255.0)


def _amount(new: Plane, fine: Plane, weight: Plane, goal: float) -> float:
    """How often `fine` is to be added to `new`, (h, w) luminances, so that its mean square gradient nears `goal`."""
    of_new, of_fine = _gradient(new), _gradient(fine)
    # |∇new + k ∇fine|² is a quadratic function of k.
    square, mixed = _mean(weight, of_fine, of_fine), _mean(weight, of_fine, of_new)
    missing = _SHARE**2 * goal - _mean(weight, of_new, of_new)
    if missing <= 0.0 or square <= 0.0:
        return 0.0
    return min((float(np.sqrt(mixed**2 + square * missing)) - mixed) / square, _MOST)


def _mean(weight: Plane, one: Plane, other: Plane) -> float:
    """Weighted mean of the scalar product of two gradients; 0 where nothing has a weight."""
    weight = weight[1:, 1:]
    total = float(weight.sum())
    return float(np.einsum("hw,chw,chw->", weight, one, other, dtype=np.float64)) / total if total > 0.0 else 0.0


def _noise(plane: Plane, weight: Plane) -> float:
    """Standard deviation of the noise where the weight is more than a half (Immerkær, 1996, by the median)."""
    across = plane[:, :-2] - 2.0 * plane[:, 1:-1] + plane[:, 2:]
    both = across[:-2] - 2.0 * across[1:-1] + across[2:]  # of white noise six times its deviation
    there = np.abs(both[weight[1:-1, 1:-1] > 0.5])
    return float(np.median(there)) / (6.0 * _MEDIAN) if there.size else 0.0


def _gradient(plane: Plane) -> Plane:
    """Differences from the left and from the upper neighbour; (h, w) → (2, h - 1, w - 1)."""
    inner = plane[1:, 1:]
    return np.stack([inner - plane[1:, :-1], inner - plane[:-1, 1:]])


def _finest(crop: Tensor) -> Tensor:
    """What a narrow Gaussian takes away from (1, 3, R, R)."""
    reach = torch.arange(-2, 3, dtype=crop.dtype)
    kernel = torch.exp(-reach.square() / (2 * _SIGMA**2))
    kernel = torch.outer(kernel, kernel) / kernel.sum() ** 2
    padded = F.pad(crop, (2, 2, 2, 2), mode="replicate")
    return crop - F.conv2d(padded, kernel.expand(3, 1, 5, 5), groups=3)
