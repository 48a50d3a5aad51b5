from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from cfanet.align import crop_points, sample, similarity_transform, warp
from cfanet.config import DetectorSettings
from cfanet.detect import MTCNNDetector
from cfanet.landmark_keeper import LandmarkKeeper, asked, bend
from cfanet.records import ImageArray
from tests.cfanet.portraits import eileen_collins, grace_hopper

SIZE = 128
PORTRAITS = pytest.mark.parametrize("portrait", [eileen_collins, grace_hopper])
NOSE, LEFT, RIGHT = 2, 3, 4


@pytest.fixture(scope="module")
def keeper() -> LandmarkKeeper:
    return LandmarkKeeper(1.0)


def aligned(image: ImageArray, size: int = SIZE) -> Tensor:
    face = MTCNNDetector(DetectorSettings()).detect(image)[0]
    return warp(image, similarity_transform(face.landmarks, crop_points(size)), (size, size))


def changed(crop: Tensor, down: float = 0.0, wider: float = 1.0) -> Tensor:
    """A face whose nose lies `down` pixels lower, and whose mouth is so much wider about the crop's middle."""
    middle = (crop.shape[-1] - 1) / 2
    rows = torch.linspace(0, 1, crop.shape[-1])[:, None]
    lower = sample(crop, np.array([[1.0, 0.0, 0.0], [0.0, 1.0, -down]]), (SIZE, SIZE))
    nose = ((rows - 0.42) / 0.06).clamp(0, 1) * ((0.66 - rows) / 0.06).clamp(0, 1)
    with_nose = crop.lerp(lower, nose)
    wide = sample(with_nose, np.array([[1 / wider, 0.0, middle - middle / wider], [0.0, 1.0, 0.0]]), (SIZE, SIZE))
    return with_nose.lerp(wide, ((rows - 0.6) / 0.1).clamp(0, 1))


@PORTRAITS
@pytest.mark.parametrize("size", [64, SIZE, 256])
def test_landmarks_are_where_the_detector_found_them(
    keeper: LandmarkKeeper, portrait: Callable[[], ImageArray], size: int
) -> None:
    found = keeper.points(aligned(portrait(), size))[0].numpy()
    assert np.abs(found - crop_points(size) / size).max() < 0.06


@PORTRAITS
def test_a_lower_nose_and_a_wider_mouth_are_put_back(
    keeper: LandmarkKeeper, portrait: Callable[[], ImageArray]
) -> None:
    crop = aligned(portrait())
    other = changed(crop, down=5, wider=1.15)
    old = keeper.points(crop)
    back = keeper.put_back(other, old)
    before, after = ((keeper.points(face) - old)[0] * SIZE for face in (other, back))
    assert before[NOSE, 1] > 2, "the nose was lowered"
    assert after[NOSE, 1].abs() < 0.65 * before[NOSE, 1]
    assert before[RIGHT, 0] - before[LEFT, 0] > 2, "the mouth was widened"
    assert (after[RIGHT, 0] - after[LEFT, 0]).abs() < (before[RIGHT, 0] - before[LEFT, 0]) / 2


def test_half_a_share_goes_half_the_way(keeper: LandmarkKeeper) -> None:
    crop = aligned(eileen_collins())
    other = changed(crop, down=5, wider=1.15)
    old = keeper.points(crop)
    half = LandmarkKeeper(0.5).put_back(other, old)
    assert torch.allclose(half, bend(other, old, 0.5 * asked(old, keeper.points(other))), atol=1e-5)
    assert 0 < (half - other).abs().mean() < (keeper.put_back(other, old) - other).abs().mean()


def test_a_face_that_has_not_moved_stays_as_it_is(keeper: LandmarkKeeper) -> None:
    both = torch.cat([aligned(eileen_collins()), changed(aligned(grace_hopper()), down=5)])
    old = keeper.points(torch.cat([aligned(eileen_collins()), aligned(grace_hopper())]))
    back = keeper.put_back(both, old)
    assert torch.allclose(back[0], both[0], atol=0.01)
    assert (back[1] - both[1]).abs().max() > 0.1
    assert torch.equal(bend(both, old, torch.zeros(2, 5, 2)), both)


def test_only_the_nose_and_the_width_of_the_mouth_are_asked_for() -> None:
    old = torch.rand(2, 5, 2, generator=torch.Generator().manual_seed(0))
    moved = old.clone()
    moved[:, :2] += 0.1  # eyes, mouth and nose, everything to the lower right
    moved[:, (LEFT, RIGHT)] += 0.1
    assert asked(old, moved).abs().max() < 1e-6
    moved[:, NOSE] += torch.tensor([0.02, -0.03])
    moved[:, LEFT, 0] -= 0.04
    wanted = asked(old, moved)
    assert torch.allclose(wanted[:, NOSE], torch.tensor([0.02, -0.03]), atol=1e-6)
    assert torch.allclose(wanted[:, LEFT, 0], torch.tensor(-0.02), atol=1e-6)
    assert torch.allclose(wanted[:, RIGHT, 0], torch.tensor(0.02), atol=1e-6)
    assert wanted[:, :2].abs().max() == wanted[:, (LEFT, RIGHT), 1].abs().max() == 0


def test_what_is_shown_at_a_place_lay_a_shift_further() -> None:
    rows = torch.linspace(-1, 1, SIZE)[None, None, :, None].expand(1, 3, SIZE, SIZE)
    place, shift = torch.tensor([[[0.5, 0.5]]]), torch.tensor([[[0.0, 0.05]]])
    bent = bend(rows, place, shift)
    at = SIZE // 2
    assert float(bent[0, 0, at, at] - rows[0, 0, at, at]) == pytest.approx(0.1 / 1.05, abs=0.01)  # the ridge
    assert torch.allclose(bent[..., :4], rows[..., :4], atol=0.01), "far away nothing moves"


def test_a_crop_s_landmarks_do_not_depend_on_its_neighbours(keeper: LandmarkKeeper) -> None:
    both = torch.cat([aligned(eileen_collins()), aligned(grace_hopper())])
    alone = torch.cat([keeper.points(crop[None]) for crop in both])
    assert torch.allclose(keeper.points(both), alone, atol=1e-5)
