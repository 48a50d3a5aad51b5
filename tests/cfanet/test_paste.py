import numpy as np
import torch

from cfanet.align import Matrix, crop_points, similarity_transform
from cfanet.paste import Patch, depth, lies_under, paste, sharpness_at, window_of

SIZE = 64


def at(x: float, y: float, scale: float) -> Matrix:
    """Picture → crop for a face whose crop covers `scale` pixels around (x, y)."""
    target = crop_points(SIZE)
    return similarity_transform((target / SIZE - 0.5) * scale + np.array([x, y], np.float32), target)


def flat(value: float) -> torch.Tensor:
    return torch.full((1, 3, SIZE, SIZE), value)


def test_the_middle_of_the_face_is_replaced_wholly_and_the_surroundings_not_at_all() -> None:
    image = np.full((200, 200, 3), 60, np.uint8)
    result = paste(image, [Patch(flat(1.0), at(100, 100, 80))])
    assert (result[95:110, 95:106] == 255).all()
    outside = depth(at(100, 100, 80), SIZE, (0, 0, 200, 200)) >= 1
    assert outside.any()
    assert (result[outside] == 60).all()
    assert (image == 60).all(), "the input is not changed"


def test_where_it_is_firm_it_fades_only_at_its_very_rim() -> None:
    image, matrix = np.full((200, 200, 3), 60, np.uint8), at(100, 100, 80)
    firm = np.zeros((200, 200))
    firm[:, 100:] = 1.0
    soft, half = (paste(image, [Patch(flat(1.0), matrix)], mask) for mask in (None, firm))
    own = depth(matrix, SIZE, (0, 0, 200, 200))
    assert np.array_equal(half[:, :100], soft[:, :100])
    assert (half[:, 100:][own[:, 100:] < 0.84] == 255).all() and (soft[own > 0.8] < 255).all()
    assert (half[own >= 1] == 60).all()


def test_only_its_window_changes() -> None:
    image = np.zeros((150, 150, 3), np.uint8)
    matrix = at(40, 50, 70)
    left, top, right, bottom = window_of(matrix, SIZE, 150, 150)
    result = paste(image, [Patch(flat(1.0), matrix)])
    ys, xs = np.nonzero(result.any(-1))
    assert left <= xs.min()
    assert xs.max() < right
    assert top <= ys.min()
    assert ys.max() < bottom


def test_a_patch_never_writes_into_a_neighbours_face() -> None:
    image = np.zeros((200, 300, 3), np.uint8)
    one, two = at(120, 100, 100), at(160.7, 100, 100)  # overlapping crops
    grey, white, black = flat(0.0), flat(1.0), flat(-1.0)
    window = (0, 0, 300, 200)
    nearer_one = depth(one, SIZE, window) < depth(two, SIZE, window)
    first = paste(image, [Patch(grey, one), Patch(white, two)])
    second = paste(image, [Patch(grey, one), Patch(black, two)])
    assert np.array_equal(first[nearer_one], second[nearer_one]), "the first face holds nothing of the second patch"
    assert not np.array_equal(first, second)


def test_the_order_of_patches_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (200, 300, 3)).astype(np.uint8)
    patches = [Patch(torch.rand(1, 3, SIZE, SIZE) * 2 - 1, at(x, 100, 110)) for x in (90, 130, 180)]
    assert np.array_equal(paste(image, patches), paste(image, patches[::-1]))


def test_every_pixel_inside_two_faces_is_covered_by_one_of_them() -> None:
    image = np.zeros((200, 300, 3), np.uint8)
    one, two = at(120, 100, 100), at(150, 100, 100)
    result = paste(image, [Patch(flat(1.0), one), Patch(flat(1.0), two)])
    window = (0, 0, 300, 200)
    core = np.minimum(depth(one, SIZE, window), depth(two, SIZE, window)) < 0.5
    assert core.any()
    assert (result[core] == 255).all(), "no gap of original pixels between neighbours"
    alone = [paste(image, [Patch(flat(1.0), matrix)]) for matrix in (one, two)]
    assert np.array_equal(result, np.maximum(*alone)), "nor more of them than in the rim of either"


def test_faces_at_and_beyond_the_border_are_handled() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    assert paste(image, [Patch(flat(1.0), at(2, 50, 80))])[50, 0, 0] == 255
    assert not paste(image, [Patch(flat(1.0), at(-500, 50, 80))]).any()


def test_a_tiny_face_is_averaged_down() -> None:
    stripes = flat(-1.0)
    stripes[..., ::2] = 1.0
    result = paste(np.full((60, 60, 3), 128, np.uint8), [Patch(stripes, at(30, 30, 14))])
    assert abs(result[28:34, 28:33].astype(float) - 127.5).max() < 40


def test_points_lie_under_faces_only_where_nothing_of_the_picture_shows() -> None:
    patches = [Patch(flat(1.0), at(60, 100, 80)), Patch(flat(1.0), at(130, 100, 80))]
    shown = paste(np.zeros((200, 200, 3), np.uint8), patches)
    whole = (shown[100] == 255).all(1)
    under = np.array([lies_under(np.array([[x, 100.0]]), patches) for x in range(200)])
    assert whole[under].all(), "no point of the picture shows under a face"
    inside = whole[:-4] & whole[2:-2] & whole[4:]  # where a rim is nearly over, it rounds to what is under the face
    assert under[2:-2][inside].all() and inside.any()
    assert not lies_under(np.array([[60.0, 100.0], [60.0, 190.0]]), patches), "all of them must"
    assert not lies_under(np.array([[60.0, 100.0]]), [])


def test_sharpness_is_asked_for_where_the_picture_shows_the_face_larger_than_the_crop() -> None:
    rng = np.random.default_rng(0)
    image = np.full((200, 200, 3), 120, np.uint8)
    image[:, :100] = rng.integers(0, 255, (200, 100, 3))
    assert sharpness_at(image, at(50, 100, SIZE), SIZE) is None
    assert sharpness_at(image, at(900, 100, 90), SIZE) is None, "nothing of it lies in the picture"
    noisy, flat_one = (sharpness_at(image, at(x, 100, 90), SIZE) for x in (50, 150))
    assert noisy is not None and noisy.noise > 10
    assert flat_one is not None and flat_one.noise == flat_one.gradient == 0.0


def test_what_lies_below_a_large_new_face_does_not_change_it() -> None:
    rng, matrix = np.random.default_rng(0), at(100, 100, 150)
    image = rng.integers(0, 255, (200, 200, 3), dtype=np.uint8)
    patch = Patch(torch.rand(1, 3, SIZE, SIZE) * 2 - 1, matrix, sharpness_at(image, matrix, SIZE))
    covered = np.full_like(image, 90)
    middle = depth(matrix, SIZE, (0, 0, 200, 200)) < 0.5
    assert np.array_equal(paste(image, [patch])[middle], paste(covered, [patch])[middle])
    assert not np.array_equal(paste(image, [patch]), paste(image, [Patch(patch.crop, matrix)]))
