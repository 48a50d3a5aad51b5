"""Fixed kernels change the box and nothing else, and do as little on a large face as such kernels do."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from cfanet.fixed_kernel import FixedKind, fixed_kernel
from tests.cfanet.tiny import noise

BOX = (20.0, 30.0, 80.0, 90.0)
KINDS: tuple[FixedKind, ...] = ("fixed-blur", "fixed-pixelate")


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_box_changes(kind: FixedKind) -> None:
    image = noise(120, 100)
    found = fixed_kernel(image, BOX, kind, 15)
    changed = (found != image).any(-1)
    assert changed[30:90, 20:80].mean() > 0.95 and changed.sum() == changed[30:90, 20:80].sum()
    assert np.array_equal(fixed_kernel(image, (-50.0, -50.0, -10.0, -10.0), kind, 15), image)


def test_the_blur_is_a_gaussian_of_the_kernels_sigma() -> None:
    image = np.repeat(gaussian_filter(noise(120, 100)[..., :1].astype(float), (2, 2, 0)), 3, axis=-1).astype(np.uint8)
    expected = gaussian_filter(image[..., 0].astype(float), 2.6, mode="nearest")
    found = fixed_kernel(image, BOX, "fixed-blur", 15)[..., 0]
    assert np.abs(found[35:85, 25:75] - expected[35:85, 25:75]).max() < 3


def test_blocks_have_the_kernels_size() -> None:
    found = fixed_kernel(noise(120, 100), BOX, "fixed-pixelate", 15)
    assert len(np.unique(found[30:90, 20:80].reshape(-1, 3), axis=0)) == 16
