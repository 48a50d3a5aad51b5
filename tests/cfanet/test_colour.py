import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from cfanet.align import crop_points, similarity_transform, warp
from cfanet.anonymizer import Anonymizer, build_anonymizer
from cfanet.colour import limit_colour, soft_colour
from cfanet.config import AnonymizeSettings
from cfanet.detect import MTCNNDetector
from cfanet.records import FaceDecision, ImageArray
from cfanet.seeds import SeedKey
from tests.cfanet.portraits import grace_hopper, profile

_SIDE = 96
_LUMA = torch.tensor([0.299, 0.587, 0.114])


def level(crops: Tensor) -> Tensor:
    return crops * 127.5


def face() -> Tensor:
    """Skin with redder lips and darker brows, as coloured as a real face."""
    crop = torch.tensor([0.5, 0.1, -0.1])[None, :, None, None].repeat(1, 1, _SIDE, _SIDE)
    crop[:, :, 60:72, 32:64] = torch.tensor([0.3, -0.4, -0.3])[:, None, None]
    crop[:, :, 30:36, 20:76] = torch.tensor([-0.6, -0.7, -0.8])[:, None, None]
    return crop


def luminance(crops: Tensor) -> Tensor:
    return torch.einsum("c,nchw->nhw", _LUMA, crops)


def colour_of(crops: Tensor, at: tuple[int, int]) -> Tensor:
    """RGB without luminance at a pixel, levels."""
    return level(crops - luminance(crops)[:, None])[0, :, at[0], at[1]]


def painted(cheek: float) -> Tensor:
    """The face with a red cheek, 24 pixels wide, of the same luminance."""
    crop = face()
    red = torch.tensor([1.0, 0.0, 0.0]) - _LUMA[0]
    crop[:, :, 44:68, 4:28] += cheek * red[:, None, None]
    return crop


def test_a_painted_cheek_keeps_some_levels_and_its_brightness() -> None:
    new = painted(0.4)
    limited = limit_colour(new, face(), 8.0, torch.ones(1))
    before = colour_of(new, (56, 16)) - colour_of(face(), (56, 16))
    after = colour_of(limited, (56, 16)) - colour_of(face(), (56, 16))
    assert before.norm() > 40.0
    assert 0.5 < after.norm() < 4.5  # two levels of Cb and Cr are 2 to 4.5 of RGB
    torch.testing.assert_close(luminance(limited), luminance(new), atol=1e-5, rtol=0)


def test_what_is_within_the_limit_stays() -> None:
    new = painted(0.01)
    torch.testing.assert_close(limit_colour(new, face(), 4.0, torch.zeros(1)), new, atol=1e-5, rtol=0)


def test_a_small_spot_stays_the_new_faces_own() -> None:
    new = face()
    new[:, :, 50, 40] += torch.tensor([-0.3, 0.0, 0.6])  # a blue pixel: an iris
    left = colour_of(limit_colour(new, face(), 8.0, torch.ones(1)), (50, 40)) - colour_of(face(), (50, 40))
    assert left.norm() > 0.8 * (colour_of(new, (50, 40)) - colour_of(face(), (50, 40))).norm()


def test_a_close_up_keeps_a_fifth_of_what_others_may() -> None:
    new, old = torch.cat([painted(0.4)] * 2), torch.cat([face()] * 2)
    limited = limit_colour(new, old, 8.0, torch.tensor([0.0, 1.0]))
    here = colour_of(face(), (56, 16))
    there, close = (colour_of(limited[n : n + 1], (56, 16)) - here for n in range(2))
    torch.testing.assert_close(close, there / 5, atol=0.3, rtol=0)
    assert there.norm() > 3.0


@pytest.mark.parametrize("close", [0.0, 1.0])
def test_a_face_without_colour_gets_none(close: float) -> None:
    old = luminance(face())[:, None].repeat(1, 3, 1, 1)
    limited = limit_colour(painted(0.4), old, 8.0, torch.tensor([close]))
    assert level(limited - luminance(limited)[:, None]).abs().max() < 0.01


def test_a_yellowed_picture_stays_evenly_yellow() -> None:
    old = luminance(face())[:, None] + torch.tensor([0.15, 0.02, -0.2])[None, :, None, None]
    limited = limit_colour(painted(0.4), old, 8.0, torch.zeros(1))
    torch.testing.assert_close(colour_of(limited, (56, 16)), colour_of(old, (56, 16)), atol=0.05, rtol=0)
    torch.testing.assert_close(colour_of(limited, (66, 48)), colour_of(old, (66, 48)), atol=0.05, rtol=0)


@pytest.fixture(scope="module")
def anonymizer() -> Anonymizer:
    """The default generator, and a loop that takes the first new face."""
    settings = AnonymizeSettings.model_validate(
        {"loop": {"threshold": 2.0, "max_structure": 1.0, "candidates": 1, "gallery": False}}
    )
    return build_anonymizer(settings, SeedKey(b"colours are limited"), {})


def test_a_portrait_without_colour_stays_without(anonymizer: Anonymizer) -> None:
    (result,) = anonymizer.run([profile()], ["a"])
    assert result.image is not None and result.faces[0].decision == FaceDecision.REPLACED
    assert not np.array_equal(result.image, profile())
    apart = result.image.astype(int) - result.image[..., :1]
    assert np.abs(apart).max() <= 1  # rounding


def test_a_close_up_keeps_nearer_to_its_colours_than_the_same_portrait_made_small(anonymizer: Anonymizer) -> None:
    def off(image: ImageArray) -> float:
        found = MTCNNDetector(AnonymizeSettings().detector).detect(image)[0]
        (result,) = anonymizer.run([image], ["a"], [[found]])
        assert result.image is not None and result.faces[0].decision == FaceDecision.REPLACED
        matrix = similarity_transform(found.landmarks, crop_points(128))
        before, after = (soft_colour(warp(picture, matrix, (128, 128))) for picture in (image, result.image))
        return float(torch.quantile((after - before).norm(dim=1)[:, 32:96, 32:96], 0.99)) * 127.5

    large = grace_hopper()
    small = np.asarray(Image.fromarray(large).reduce(2))
    # Unlimited it is 20 and 19 levels; beyond the limit lies what is too bright or dark to keep its colour.
    assert off(large) < 8.0 < 11.0 < off(small) < 14.0
