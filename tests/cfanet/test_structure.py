import numpy as np
import pytest
import torch
from PIL import Image

from cfanet.structure import face_patch, patch_correlation, soften, structure_correlation, structure_correlations
from tests.cfanet.portraits import grace_hopper
from tests.cfanet.tiny import noise

HOPPER = grace_hopper()[60:380, 90:410]
BOX = (80.0, 60.0, 210.0, 240.0)


def crop(seed: int) -> torch.Tensor:
    """A smooth picture with structure."""
    noise = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(noise, size=(128, 128), mode="bicubic").clamp(-3, 3) / 3


def test_a_brighter_softer_shaded_copy_is_still_the_same() -> None:
    old = crop(0)
    shade = torch.linspace(-0.3, 0.3, 128)[:, None]
    copy = torch.nn.functional.avg_pool2d(old * 0.7 + 0.2 + shade, 3, stride=1, padding=1)
    assert 0.999 < structure_correlation(old, old) <= 1.0, "a limit of 1 never refuses"
    assert structure_correlation(old, copy) > 0.95


def test_no_rounding_lifts_a_copy_above_one() -> None:
    assert max(structure_correlation(crop(seed), crop(seed)) for seed in range(40)) <= 1.0


def test_another_picture_is_not() -> None:
    assert all(abs(structure_correlation(crop(0), crop(seed))) < 0.4 for seed in range(1, 6))


def test_only_the_middle_of_the_face_counts() -> None:
    old, other = crop(0), crop(1)
    outside = old.clone()
    outside[..., :28, :], outside[..., :24] = other[..., :28, :], other[..., :24]
    assert structure_correlation(old, outside) > 0.999


def test_many_are_compared_as_each_alone() -> None:
    old, new = torch.cat([crop(0), crop(1)]), torch.cat([crop(0) * 0.5, crop(2)])
    alone = [structure_correlation(old[n, None], new[n, None]) for n in range(2)]
    assert structure_correlations(old, new).tolist() == pytest.approx(alone)


def test_a_box_of_any_scale_shows_the_same_middle() -> None:
    half = np.asarray(Image.fromarray(HOPPER).resize((160, 160), Image.Resampling.BOX))
    small, whole = face_patch(half, tuple(edge / 2 for edge in BOX)), face_patch(HOPPER, BOX)
    assert len(whole) == 576 and face_patch(HOPPER, (400.0, 400.0, 500.0, 500.0)) == b""
    assert patch_correlation(whole, small, 65.0) == pytest.approx(1.0, abs=0.03)
    assert abs(patch_correlation(whole, face_patch(noise(320, 320), BOX), 130.0) or 1.0) < 0.3


def test_of_a_face_too_small_or_outside_nothing_can_be_told() -> None:
    patch = face_patch(HOPPER, BOX)
    assert patch_correlation(patch, patch, 19.9) is None and patch_correlation(patch, patch, 20.1) is not None
    assert patch_correlation(patch, b"", 130.0) is None


def test_a_flat_region_has_no_structure() -> None:
    assert structure_correlation(crop(0), torch.zeros(1, 3, 128, 128)) == 0.0


def test_a_softened_look_keeps_light_and_loses_detail() -> None:
    detail = torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(0)) / 4
    seen = soften(crop(0) / 2 + detail)
    assert seen.shape == (1, 3, 128, 128)
    assert (seen - soften(crop(0) / 2)).std() < 0.35 * detail.std(), "fine detail is gone"
    assert (soften(crop(0)) - crop(0)).abs().mean() < 0.05, "what is smooth stays"
