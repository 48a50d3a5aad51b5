"""Likeness and sharpness, each against another implementation."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage.data import astronaut
from skimage.filters import gaussian
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from training.evaluation.picture_quality import gradient_magnitude, inside, ms_ssim, psnr, ssim

ORIGINAL = astronaut()[:192, 120:312]
NOISY = (ORIGINAL + np.random.default_rng(0).normal(0, 20, ORIGINAL.shape)).clip(0, 255).astype(np.uint8)


def tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None]


def test_ssim_is_that_of_torchmetrics() -> None:
    _, full = structural_similarity_index_measure(
        tensor(ORIGINAL), tensor(NOISY), data_range=255.0, return_full_image=True
    )
    expected = float(full[..., 5:-5, 5:-5].mean())  # as published: only where the window lies inside the picture
    assert ssim(ORIGINAL, NOISY) == pytest.approx(expected, abs=1e-4)
    assert 0.1 < expected < 0.9
    assert ssim(ORIGINAL, ORIGINAL) == pytest.approx(1.0)


def test_psnr_is_that_of_torchmetrics_and_infinite_for_equal_pictures() -> None:
    expected = float(peak_signal_noise_ratio(tensor(ORIGINAL), tensor(NOISY), data_range=255.0))
    assert psnr(ORIGINAL, NOISY) == pytest.approx(expected, abs=1e-3)
    assert psnr(ORIGINAL, ORIGINAL) == math.inf


def test_ms_ssim_is_the_product_of_its_scales() -> None:
    """Wang et al. (2003), equation 7, written out in SciPy."""
    weights = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333]
    a, b, value = ORIGINAL.astype(np.float64), NOISY.astype(np.float64), 1.0
    for scale, weight in enumerate(weights):
        blur = [gaussian_filter(x, (1.5, 1.5, 0), truncate=3.5, mode="mirror") for x in (a, b, a * a, b * b, a * b)]
        covariance, spreads = blur[4] - blur[0] * blur[1], blur[2] - blur[0] ** 2 + blur[3] - blur[1] ** 2
        contrast = (2 * covariance + (0.03 * 255) ** 2) / (spreads + (0.03 * 255) ** 2)
        light = (2 * blur[0] * blur[1] + (0.01 * 255) ** 2) / (blur[0] ** 2 + blur[1] ** 2 + (0.01 * 255) ** 2)
        value *= float((contrast * light if scale == 4 else contrast[5:-5, 5:-5]).mean()) ** weight
        a, b = (x.reshape(len(x) // 2, 2, len(x) // 2, 2, 3).mean((1, 3)) for x in (a, b))
    assert ms_ssim(ORIGINAL, NOISY) == pytest.approx(value, abs=1e-4)
    assert 0.5 < value < 0.99


def test_sharpness_is_the_slope_of_a_ramp_and_falls_with_blur() -> None:
    ramp = np.repeat(np.repeat(np.arange(100, dtype=np.uint8)[None, :, None] * 2, 50, 0), 3, 2)
    assert gradient_magnitude(ramp) == pytest.approx(2 / 255)
    blurred = (gaussian(ORIGINAL, sigma=2, channel_axis=-1) * 255).astype(np.uint8)
    assert gradient_magnitude(blurred) < 0.6 * gradient_magnitude(ORIGINAL)


def test_a_box_is_clipped_to_the_picture() -> None:
    assert inside(ORIGINAL, (-5.0, 10.2, 20.4, 500.0)).shape == (182, 20, 3)
    assert inside(ORIGINAL, (300.0, 0.0, 320.0, 20.0)).size == 0
