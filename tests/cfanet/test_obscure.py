"""Obscuring: nothing of the face is left, everything outside the region is, and no box is too odd."""

import numpy as np
import pytest

from cfanet.errors import InputError
from cfanet.obscure import CORE_MARGIN, MASK_GREY, MAX_BLOCKS, MIN_CHANGE, ObscureKind, obscure, obscured_region
from cfanet.records import Box, ImageArray

KINDS: tuple[ObscureKind, ...] = ("blur", "pixelate", "mask", "inpaint")
BOX: Box = (60.0, 40.0, 120.0, 116.0)


def noise(seed: int = 0, size: tuple[int, int] = (160, 200)) -> ImageArray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def core(box: Box) -> tuple[slice, slice]:
    """Rows and columns in which no original pixel may have any weight."""
    grow = CORE_MARGIN * max(box[2] - box[0], box[3] - box[1])
    x0, y0, x1, y1 = box[0] - grow, box[1] - grow, box[2] + grow, box[3] + grow
    return slice(int(np.ceil(y0)), int(y1)), slice(int(np.ceil(x0)), int(x1))


@pytest.mark.parametrize("kind", KINDS)
def test_the_picture_is_not_changed_in_place_and_the_outside_is_kept(kind: ObscureKind) -> None:
    image = noise()
    before = image.copy()
    result = obscure(image, BOX, kind)
    assert np.array_equal(image, before)
    assert result is not image and not np.shares_memory(result, image)
    left, top, right, bottom = obscured_region(BOX, 200, 160)
    outside = np.ones((160, 200), bool)
    outside[top:bottom, left:right] = False
    assert outside.any() and np.array_equal(result[outside], image[outside])
    inside = ~outside
    assert (result[inside] != image[inside]).mean() > 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_block_means_give_the_same_core(kind: ObscureKind) -> None:
    """Two faces that agree in at most 36 mean colours cannot be told apart afterwards."""
    left, top, right, bottom = obscured_region(BOX, 200, 160)
    first, second = np.full((160, 200, 3), 120, np.uint8), np.full((160, 200, 3), 120, np.uint8)
    # Stripes of one pixel and their negative: every block of even width has the same mean in both.
    first[top:bottom, left:right:2] += 60
    second[top:bottom, left + 1 : right : 2] += 60
    rows, columns = core(BOX)
    assert np.abs(first[rows, columns].astype(int) - second[rows, columns]).min() == 60
    a, b = obscure(first, BOX, kind)[rows, columns], obscure(second, BOX, kind)[rows, columns]
    assert np.abs(a.astype(int) - b).max() <= 8  # a block of odd width differs by half a stripe


@pytest.mark.parametrize("kind", KINDS)
def test_no_pixel_of_the_core_is_related_to_its_own_value(kind: ObscureKind) -> None:
    rows, columns = core(BOX)
    flat = np.full((160, 200, 3), 128, np.uint8)
    for seed in range(3):
        image = flat.copy()
        image[rows, columns] = noise(seed)[rows, columns]
        result = obscure(image, BOX, kind)[rows, columns].astype(float)
        original = image[rows, columns].astype(float)
        for channel in range(3):
            if result[..., channel].std() > 0:
                assert abs(np.corrcoef(result[..., channel].ravel(), original[..., channel].ravel())[0, 1]) < 0.2
        assert result.std() < 0.2 * original.std()


def test_the_mask_is_a_constant() -> None:
    rows, columns = core(BOX)
    masked = obscure(noise(1), BOX, "mask")[rows, columns]
    assert len(np.unique(masked)) == 1
    assert np.array_equal(masked, obscure(noise(2), BOX, "mask")[rows, columns])


def test_what_is_filled_in_depends_on_the_surroundings_alone() -> None:
    neighbour: Box = (130.0, 60.0, 170.0, 110.0)
    first, second = noise(1), noise(1)
    for box in (BOX, neighbour):
        left, top, right, bottom = obscured_region(box, 200, 160)
        second[top:bottom, left:right] = noise(2)[top:bottom, left:right]
    rows, columns = core(BOX)
    filled = obscure(first, BOX, "inpaint", [neighbour])[rows, columns]
    assert filled.std() > 0 and np.array_equal(filled, obscure(second, BOX, "inpaint", [neighbour])[rows, columns])
    surrounded = first.copy()
    left, top, right, bottom = obscured_region(BOX, 200, 160)
    surrounded[:top] = surrounded[bottom:] = 0
    surrounded[:, :left] = surrounded[:, right:] = 0
    assert not obscure(surrounded, BOX, "inpaint")[rows, columns].any()


@pytest.mark.parametrize(("wall", "cover"), [(60, 84), (0, 24), (250, 226), (128, 104)])
def test_a_fill_that_would_leave_what_was_there_is_lighter_or_darker(wall: int, cover: int) -> None:
    rows, columns = core(BOX)
    covered = obscure(np.full((160, 200, 3), wall, np.uint8), BOX, "inpaint")
    assert (covered[rows, columns] == cover).all() and abs(wall - cover) >= MIN_CHANGE


@pytest.mark.parametrize("spread", [0, 12, 22, 23, 25, 40])
def test_a_fill_is_never_nearly_what_was_there(spread: int) -> None:
    image, filled = noise(), obscure(noise(), BOX, "inpaint").astype(int)
    left, top, right, bottom = obscured_region(BOX, 200, 160)
    near = filled + np.random.default_rng(0).integers(-spread, spread, filled.shape, endpoint=True)
    image[top:bottom, left:right] = np.clip(near, 0, 255)[top:bottom, left:right]
    rows, columns = core(BOX)
    change = np.abs(obscure(image, BOX, "inpaint")[rows, columns].astype(int) - image[rows, columns]).mean()
    assert change >= MIN_CHANGE - 0.1


def test_a_face_among_others_is_filled_from_beyond_them() -> None:
    image = np.full((160, 200, 3), 200, np.uint8)
    others: list[Box] = [(40.0, 20.0, 140.0, 120.0), (60.0, 30.0, 150.0, 110.0)]
    for other in others:
        left, top, right, bottom = obscured_region(other, 200, 160)
        image[top:bottom, left:right] = noise()[top:bottom, left:right]
    rows, columns = core((85.0, 65.0, 105.0, 85.0))
    assert (obscure(image, (85.0, 65.0, 105.0, 85.0), "inpaint", others)[rows, columns] == 200).all()


def test_what_nothing_surrounds_is_grey() -> None:
    assert (obscure(noise(), (-50.0, -50.0, 500.0, 500.0), "inpaint") == MASK_GREY).all()


def test_a_fill_is_compared_with_what_was_there_before_anything_was_done() -> None:
    rows, columns = core(BOX)
    filled = obscure(noise(), BOX, "inpaint")
    assert np.abs(obscure(filled, BOX, "inpaint")[rows, columns].astype(int) - filled[rows, columns]).min() > 20
    again = obscure(filled, BOX, "inpaint", original=noise())
    assert np.array_equal(again[rows, columns], filled[rows, columns])


@pytest.mark.parametrize("side", [12, 40, 97, 300])
def test_pixelation_leaves_at_most_six_by_six_colours(side: int) -> None:
    image = noise(3, (500, 500))
    box = (100.0, 100.0, 100.0 + side, 100.0 + side * 0.8)
    rows, columns = core(box)
    colours = np.unique(obscure(image, box, "pixelate")[rows, columns].reshape(-1, 3), axis=0)
    assert 1 <= len(colours) <= MAX_BLOCKS**2
    if side == 12:
        assert len(colours) <= 16, "a face of twelve pixels must lose more than half of them"


def test_blur_leaves_no_edge() -> None:
    image = np.full((160, 200, 3), 128, np.uint8)
    left, top, right, bottom = obscured_region(BOX, 200, 160)
    image[top:bottom, left:right] = noise(4)[top:bottom, left:right]
    rows, columns = core(BOX)
    blurred = obscure(image, BOX, "blur")[rows, columns].astype(int)
    assert np.abs(np.diff(blurred, axis=0)).max() <= 6
    assert np.abs(np.diff(blurred, axis=1)).max() <= 6


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "box",
    [
        (-20.0, -10.0, 30.0, 40.0),
        (180.0, 140.0, 260.0, 220.0),
        (-50.0, -50.0, 500.0, 500.0),
        (90.0, 70.0, 90.0, 70.0),
        (100.5, 20.0, 100.5, 60.0),
        (120.0, 116.0, 60.0, 40.0),
        (50.2, 50.7, 62.1, 62.9),
        (0.0, 0.0, 1.0, 1.0),
    ],
)
def test_odd_boxes_are_obscured_too(kind: ObscureKind, box: Box) -> None:
    image = noise(5)
    result = obscure(image, box, kind)
    assert result.shape == image.shape and result.dtype == np.uint8
    x0, x1 = sorted((box[0], box[2]))
    y0, y1 = sorted((box[1], box[3]))
    rows = slice(max(0, int(y0)), min(160, int(y1) + 1))
    columns = slice(max(0, int(x0)), min(200, int(x1) + 1))
    before, after = image[rows, columns].reshape(-1, 3), result[rows, columns].reshape(-1, 3)
    assert len(before)
    assert (before != after).any(axis=1).mean() > 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_a_box_outside_the_picture_changes_nothing(kind: ObscureKind) -> None:
    image = noise(6)
    result = obscure(image, (400.0, 300.0, 450.0, 360.0), kind)
    assert np.array_equal(result, image) and result is not image


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_of_one_pixel(kind: ObscureKind) -> None:
    assert obscure(np.zeros((1, 1, 3), np.uint8), (0.0, 0.0, 1.0, 1.0), kind).shape == (1, 1, 3)


def test_bad_arguments_are_named() -> None:
    image = noise()
    with pytest.raises(InputError, match="swirl"):
        obscure(image, BOX, "swirl")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="finite"):
        obscure(image, (0.0, 0.0, float("nan"), 4.0), "mask")
    with pytest.raises(InputError, match="uint8"):
        obscure(image.astype(np.float32), BOX, "mask")
