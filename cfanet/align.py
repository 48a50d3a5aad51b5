"""Face alignment: a similarity transform from five landmarks to a canonical crop, and the crop itself."""

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from cfanet.records import ImageArray, Landmarks

Matrix = npt.NDArray[np.float64]
"""(2, 3) float64 affine map from picture pixels to crop pixels."""

ARCFACE_POINTS: Landmarks = np.array(
    [[30.29, 51.70], [65.53, 51.50], [48.03, 71.74], [33.55, 92.37], [62.73, 92.20]], dtype=np.float32
)
"""The five points in a 96×112 (width × height) recognition crop: the common SphereFace/ArcFace template."""

# The generator's crop shows a little more than the recognition crop: hairline, cheeks and chin are inside, and its
# pixels are spent on the face. In units of the crop's side, one pixel of the 96-wide template is _TEMPLATE_SCALE.
_TEMPLATE_SCALE = 1.0 / 124.0
_TEMPLATE_CENTRE = (48.0, 66.0)
_CROP_CENTRE = (0.5, 0.49)


def crop_points(size: int) -> Landmarks:
    """Where the five landmarks lie in the generator's aligned crop of `size` pixels; (5, 2) float32."""
    centred = (ARCFACE_POINTS - np.array(_TEMPLATE_CENTRE, np.float32)) * _TEMPLATE_SCALE
    return ((centred + np.array(_CROP_CENTRE, np.float32)) * size).astype(np.float32)


def similarity_transform(source: Landmarks, target: Landmarks) -> Matrix:
    """Least-squares rotation, uniform scale and shift from `source` to `target` points (Umeyama, 1991).

    Both (K, 2), K ≥ 2. Returns (2, 3) float64. Points that coincide raise ValueError.
    """
    src = source.astype(np.float64)
    dst = target.astype(np.float64)
    src_mean, dst_mean = src.mean(0), dst.mean(0)
    src_c, dst_c = src - src_mean, dst - dst_mean
    variance = (src_c**2).sum()
    if not np.isfinite(variance) or variance < 1e-9:
        raise ValueError("the landmarks coincide: no similarity transform exists")
    # In two dimensions the optimum over rotations (no reflection) has a closed form.
    a = (src_c * dst_c).sum() / variance
    b = (src_c[:, 0] * dst_c[:, 1] - src_c[:, 1] * dst_c[:, 0]).sum() / variance
    linear = np.array([[a, -b], [b, a]])
    return np.concatenate([linear, (dst_mean - linear @ src_mean)[:, None]], axis=1)


def invert(matrix: Matrix) -> Matrix:
    """Inverse of a (2, 3) affine map."""
    linear = np.linalg.inv(matrix[:, :2])
    return np.concatenate([linear, -(linear @ matrix[:, 2])[:, None]], axis=1)


def scale_of(matrix: Matrix) -> float:
    """How much larger things are behind a (2, 3) affine map than before it, along a side."""
    return float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))


def transform_points(matrix: Matrix, points: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Apply a (2, 3) affine map to (K, 2) points."""
    result: npt.NDArray[np.float64] = points.astype(np.float64) @ matrix[:, :2].T + matrix[:, 2]
    return result


def to_tensor(image: ImageArray) -> Tensor:
    """(H, W, 3) uint8 RGB → (1, 3, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 127.5 - 1.0


def warp(image: ImageArray, matrix: Matrix, size: tuple[int, int]) -> Tensor:
    """Resample a picture under `matrix` (picture → crop) to `size` = (height, width).

    Returns (1, 3, height, width) float32 in [-1, 1]; outside the picture the border is repeated. Faces larger than
    the crop are averaged down first, so that nothing aliases.
    """
    window, offset = _window(image, matrix, size)
    return resample(to_tensor(window), shift(matrix, offset), size)


def shift(matrix: Matrix, offset: npt.NDArray[np.floating]) -> Matrix:
    """The same map for a source whose origin was moved to `offset` (x, y)."""
    return np.concatenate([matrix[:, :2], (matrix[:, 2] + matrix[:, :2] @ offset)[:, None]], axis=1)


def resample(source: Tensor, forward: Matrix, size: tuple[int, int]) -> Tensor:
    """Resample (1, C, H, W) under `forward` (source → output pixels) to (1, C, *size), averaging before it shrinks."""
    shrink = int(1.0 / max(scale_of(forward), 1e-6))
    if shrink >= 2:
        height, width = source.shape[-2:]
        small = (max(1, height // shrink), max(1, width // shrink))
        source = F.interpolate(source, size=small, mode="area")
        ratio = np.array([small[1] / width, small[0] / height])
        forward = shift(forward, 0.5 / ratio - 0.5)  # pixel centres move with the averaging
        forward[:, :2] = forward[:, :2] / ratio
    return sample(source, invert(forward), size)


def at_resolution(pictures: Tensor, side: int, back: str = "bilinear") -> Tensor:
    """(N, C, S, S) pictures as if they had been seen with `side` pixels along a side: averaged, and enlarged again.

    `back`: torch's name of the interpolation that enlarges. Returns the same shape.
    """
    seen = F.interpolate(pictures, size=(side, side), mode="area")
    return F.interpolate(seen, size=pictures.shape[-2:], mode=back, align_corners=False)


def sample(source: Tensor, inverse: Matrix, size: tuple[int, int], how: str = "bilinear") -> Tensor:
    """Resampling: output pixel (x, y) takes source pixel inverse·(x, y, 1); borders repeat.

    `source` (1, C, H, W), `how` bilinear or bicubic; returns (1, C, height, width).
    """
    height, width = source.shape[-2:]
    ys, xs = torch.meshgrid(
        torch.arange(size[0], dtype=torch.float64), torch.arange(size[1], dtype=torch.float64), indexing="ij"
    )
    m = inverse
    sx = m[0, 0] * xs + m[0, 1] * ys + m[0, 2]
    sy = m[1, 0] * xs + m[1, 1] * ys + m[1, 2]
    grid = torch.stack([(2 * sx + 1) / width - 1, (2 * sy + 1) / height - 1], dim=-1)[None].to(source.dtype)
    return F.grid_sample(source, grid, mode=how, padding_mode="border", align_corners=False)


def _window(image: ImageArray, matrix: Matrix, size: tuple[int, int]) -> tuple[ImageArray, npt.NDArray[np.float64]]:
    """The part of the picture the crop can see (with a margin), and its offset; keeps large pictures cheap."""
    height, width = size
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], dtype=np.float64)
    seen = transform_points(invert(matrix), corners)
    margin = 4.0 + 2.0 / max(scale_of(matrix), 1e-6)
    low = np.floor(seen.min(0) - margin).astype(int)
    high = np.ceil(seen.max(0) + margin).astype(int)
    x0, y0 = np.clip(low, 0, [image.shape[1] - 1, image.shape[0] - 1])
    x1, y1 = np.clip(high, [x0 + 1, y0 + 1], [image.shape[1], image.shape[0]])
    return image[y0:y1, x0:x1], np.array([x0, y0], dtype=np.float64)
