import numpy as np
import pytest
from skimage.transform import SimilarityTransform

from cfanet.align import crop_points, invert, similarity_transform, transform_points, warp
from tests.cfanet.portraits import eileen_collins, no_face

RNG = np.random.default_rng(0)
POINTS = RNG.uniform(20, 200, (5, 2)).astype(np.float32)


def test_agrees_with_the_independent_estimate_of_scikit_image() -> None:
    target = crop_points(128)
    reference = SimilarityTransform.from_estimate(POINTS.astype(float), target.astype(float))
    assert np.allclose(similarity_transform(POINTS, target), reference.params[:2], atol=1e-6)


def test_inverse_undoes_the_map() -> None:
    matrix = similarity_transform(POINTS, crop_points(64))
    assert np.allclose(transform_points(invert(matrix), transform_points(matrix, POINTS)), POINTS, atol=1e-6)


def test_coinciding_landmarks_are_refused() -> None:
    with pytest.raises(ValueError, match="coincide"):
        similarity_transform(np.ones((5, 2), np.float32), crop_points(64))


def test_identity_warp_returns_the_picture() -> None:
    image = eileen_collins()[:100, :120]
    warped = warp(image, np.array([[1.0, 0, 0], [0, 1.0, 0]]), (100, 120))
    assert np.allclose((warped[0].permute(1, 2, 0).numpy() + 1) * 127.5, image, atol=0.01)


def test_a_shift_lands_on_the_right_pixel() -> None:
    image = no_face()
    warped = warp(image, np.array([[1.0, 0, -40], [0, 1.0, -60]]), (50, 50))
    assert np.allclose((warped[0].permute(1, 2, 0).numpy() + 1) * 127.5, image[60:110, 40:90], atol=0.01)


@pytest.mark.parametrize("factor", [2, 5])
def test_shrinking_averages_and_does_not_alias(factor: int) -> None:
    stripes = np.zeros((200, 200, 3), np.uint8)
    stripes[:, ::2] = 255
    warped = warp(stripes, np.array([[1 / factor, 0, 0], [0, 1 / factor, 0]]), (200 // factor, 200 // factor))
    inner = warped[..., 2:-2, 2:-2]
    assert float(inner.std()) < 0.25, "alternating stripes must average to grey"
    assert abs(float(inner.mean())) < 0.05


def test_shrinking_keeps_positions() -> None:
    image = np.zeros((240, 240, 3), np.uint8)
    image[116:124, 56:64] = 255  # centre (59.5, 119.5)
    warped = warp(image, np.array([[0.25, 0, 0], [0, 0.25, 0]]), (60, 60))[0, 0] + 1
    ys, xs = np.mgrid[:60, :60]
    weight = warped.numpy() / warped.numpy().sum()
    assert (weight * xs).sum() == pytest.approx(59.5 / 4, abs=0.15)
    assert (weight * ys).sum() == pytest.approx(119.5 / 4, abs=0.15)


def test_a_crop_beyond_the_border_repeats_it() -> None:
    image = np.full((30, 30, 3), 200, np.uint8)
    warped = warp(image, np.array([[1.0, 0, 100], [0, 1.0, 100]]), (20, 20))
    assert np.allclose((warped.numpy() + 1) * 127.5, 200, atol=0.01)
