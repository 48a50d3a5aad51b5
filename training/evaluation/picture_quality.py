"""How like its original a picture is, and how sharp. Pure functions on (H, W, 3) uint8 RGB arrays of one size."""

import math

import numpy as np
import torch
from PIL import Image
from skimage.color import rgb2gray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from cfanet.records import Box, ImageArray

SMALLEST_SIDE = 11  # SSIM's Gaussian window
_MS_SIDE = 192  # five scales of an 11-pixel window need more than 160 pixels


def inside(image: ImageArray, box: Box) -> ImageArray:
    """The part of a picture in an xyxy box, rounded to whole pixels and clipped; may be empty."""
    height, width = image.shape[:2]
    left, top = max(0, round(box[0])), max(0, round(box[1]))
    return image[top : max(top, min(height, round(box[3]))), left : max(left, min(width, round(box[2])))]


def ssim(a: ImageArray, b: ImageArray) -> float:
    """Structural similarity (Wang et al., 2004) as published: Gaussian window of 11 pixels, σ = 1.5; mean of RGB."""
    return float(
        structural_similarity(
            a, b, channel_axis=-1, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
    )


def psnr(a: ImageArray, b: ImageArray) -> float:
    """Peak signal-to-noise ratio in dB over all channels; infinite for equal pictures."""
    if np.array_equal(a, b):
        return math.inf
    return float(peak_signal_noise_ratio(a, b, data_range=255))


def ms_ssim(a: ImageArray, b: ImageArray) -> float:
    """Multi-scale SSIM (Wang et al., 2003), five scales, both pictures first resized to 192 × 192 (bilinear)."""
    x, y = (_square(image) for image in (a, b))
    return float(multiscale_structural_similarity_index_measure(x, y, data_range=255.0))


def gradient_magnitude(image: ImageArray) -> float:
    """Mean length of the luminance gradient (central differences), grey levels of 1 a pixel: how sharp it is."""
    dy, dx = np.gradient(rgb2gray(image))
    return float(np.hypot(dx, dy).mean())


def _square(image: ImageArray) -> torch.Tensor:
    """(1, 3, 192, 192) float32 in [0, 255]."""
    resized = Image.fromarray(np.ascontiguousarray(image)).resize((_MS_SIDE, _MS_SIDE), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(resized, dtype=np.float32)).permute(2, 0, 1)[None]
