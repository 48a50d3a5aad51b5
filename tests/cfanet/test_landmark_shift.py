from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from cfanet.align import crop_points, sample, similarity_transform, warp
from cfanet.config import DetectorSettings
from cfanet.detect import MTCNNDetector
from cfanet.landmark_shift import LandmarkShift
from cfanet.records import ImageArray
from tests.cfanet.portraits import eileen_collins, grace_hopper

SIZE = 128


@pytest.fixture(scope="module")
def shift() -> LandmarkShift:
    return LandmarkShift()


def aligned(image: ImageArray, size: int = SIZE) -> Tensor:
    face = MTCNNDetector(DetectorSettings()).detect(image)[0]
    return warp(image, similarity_transform(face.landmarks, crop_points(size)), (size, size))


def moved(crop: Tensor, x: float = 0.0, y: float = 0.0, wider: float = 1.0) -> Tensor:
    """A crop moved by (x, y) pixels, and made wider about its middle."""
    middle = (crop.shape[-1] - 1) / 2
    inverse = np.array([[1 / wider, 0.0, middle - (middle + x) / wider], [0.0, 1.0, -y]])
    return sample(crop, inverse, (crop.shape[-1], crop.shape[-1]))


@pytest.mark.parametrize("portrait", [eileen_collins, grace_hopper])
@pytest.mark.parametrize("size", [64, SIZE, 256])
def test_landmarks_are_where_the_detector_found_them(
    shift: LandmarkShift, portrait: Callable[[], ImageArray], size: int
) -> None:
    found = shift.points(aligned(portrait(), size))[0].numpy()
    assert np.abs(found - crop_points(size) / size).max() < 0.06


def test_a_shift_is_the_distance_that_the_landmarks_moved(shift: LandmarkShift) -> None:
    crop = aligned(eileen_collins())
    others = torch.cat([crop, moved(crop, x=4), moved(crop, y=4), moved(crop, x=8)])
    still, right, down, further = (float(value) * SIZE for value in shift(crop, others))
    assert still == pytest.approx(0.0, abs=1e-3)
    assert right == pytest.approx(4, abs=1) and down == pytest.approx(4, abs=1) and further == pytest.approx(8, abs=2)


@pytest.mark.parametrize("portrait", [eileen_collins, grace_hopper])
def test_a_wider_mouth_is_seen(shift: LandmarkShift, portrait: Callable[[], ImageArray]) -> None:
    crop = aligned(portrait())
    lower = torch.linspace(0, 1, SIZE)[:, None].sub(0.6).div(0.1).clamp(0, 1)  # from below the nose
    wide = crop.lerp(moved(crop, wider=1.15), lower)
    points = shift.points(torch.cat([crop, wide]))
    width = (points[:, 4, 0] - points[:, 3, 0]).tolist()
    assert 1.04 < width[1] / width[0] < 1.25
    lighter = (crop * 0.9 + 0.1).clamp(-1, 1)
    assert shift(crop, wide) > 2 * shift(crop, lighter), "light moves no landmark"


def test_a_crop_s_landmarks_do_not_depend_on_its_neighbours(shift: LandmarkShift) -> None:
    both = torch.cat([aligned(eileen_collins()), aligned(grace_hopper())])
    alone = torch.cat([shift.points(crop[None]) for crop in both])
    assert torch.allclose(shift.points(both), alone, atol=1e-5)
