from itertools import pairwise

import numpy as np
import pytest
import torch

from cfanet.align import Matrix, resample
from cfanet.enlarge import Sharpness, enlarged

SIZE = 64  # of the crop


def forward(scale: float) -> Matrix:
    """Crop → picture: so many picture pixels a crop pixel."""
    return np.array([[scale, 0.0, (scale - 1) / 2], [0.0, scale, (scale - 1) / 2]])


def scene(side: int, finest: float, seed: int = 0) -> np.ndarray:
    """Smooth random structure, (side, side, 3) uint8, whose finest detail is about `finest` of the side."""
    rng, cells = np.random.default_rng(seed), round(1 / finest)
    coarse = torch.from_numpy(rng.uniform(40, 215, (1, 3, cells, cells)))
    seen = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic", align_corners=False)
    return seen[0].permute(1, 2, 0).clamp(0, 255).round().byte().numpy()


def crop_of(image: np.ndarray) -> torch.Tensor:
    """The picture as a crop shows it."""
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 127.5 - 1.0
    return torch.nn.functional.interpolate(tensor, size=(SIZE, SIZE), mode="area")


def steepness(image: np.ndarray) -> float:
    """Root mean square of the gradient of the luminance."""
    dy, dx = np.gradient(image.astype(float) @ [0.299, 0.587, 0.114])
    return float(np.sqrt((dx**2 + dy**2).mean()))


def everywhere(image: np.ndarray) -> np.ndarray:
    return np.ones(image.shape[:2])


def put(crop: torch.Tensor, old: np.ndarray, scale: float = 3.0, weight: np.ndarray | None = None) -> np.ndarray:
    """The crop in the place of an old face, which a mask says is there: the whole picture, if none is given."""
    weight = everywhere(old) if weight is None else weight
    return enlarged(crop, forward(scale), weight, Sharpness.of(old, weight))


def test_a_large_new_face_is_about_as_sharp_as_the_old_one() -> None:
    old, new = scene(3 * SIZE, 0.02), scene(3 * SIZE, 0.02, seed=1)
    merely = ((resample(crop_of(new), forward(3.0), old.shape[:2])[0].permute(1, 2, 0) + 1) * 127.5).numpy()
    raised = put(crop_of(new), old)
    assert steepness(merely) < 0.7 * steepness(old)
    assert 0.8 * steepness(old) < steepness(raised) < steepness(old)


def test_where_the_old_face_was_softer_nothing_is_raised() -> None:
    soft = scene(3 * SIZE, 0.2)
    crop = crop_of(scene(3 * SIZE, 0.02, seed=1))
    softened = put(crop, soft)
    flat = put(crop, np.full_like(soft, 128))
    assert np.array_equal(softened, flat), "nothing is raised, and nothing is lowered"


def noisy(image: np.ndarray, deviation: float) -> np.ndarray:
    grain = np.random.default_rng(7).normal(0, deviation, image.shape[:2])[..., None]
    return np.clip(image + grain, 0, 255).round().astype(np.uint8)


def test_noise_is_not_taken_for_edges_and_the_new_face_gets_as_much() -> None:
    smooth, crop = scene(3 * SIZE, 0.1), crop_of(scene(3 * SIZE, 0.1, seed=1))
    clean = put(crop, smooth)
    grainy = put(crop, noisy(smooth, 8.0))
    grain = (grainy - clean).mean(axis=2)
    assert grain.std() == pytest.approx(8.0, rel=0.1)
    softened = torch.nn.functional.avg_pool2d(torch.from_numpy(grain)[None, None], 5)
    assert softened.std() < 2.0, "what is not grain has hardly changed"


def test_of_the_old_face_nothing_but_its_sharpness_and_noise_matters() -> None:
    old, crop = scene(3 * SIZE, 0.02), crop_of(scene(3 * SIZE, 0.02, seed=1))
    result = put(crop, old)
    negative = put(crop, 255 - old)
    assert np.abs(result - negative).max() < 1e-3, "of 255: sums of floats differ from machine to machine"
    other = put(crop, scene(3 * SIZE, 0.03))
    assert np.abs(result - other).max() > 1, "this test can fail"


def test_only_what_the_new_face_covers_is_looked_at() -> None:
    old, crop = scene(3 * SIZE, 0.02), crop_of(scene(3 * SIZE, 0.02, seed=1))
    half = everywhere(old)
    half[:, SIZE:] = 0.0
    spoiled = old.copy()
    spoiled[:, SIZE + 1 :] = 128
    assert np.array_equal(*(put(crop, image, weight=half) for image in (old, spoiled)))
    nowhere = put(crop, old, weight=np.zeros_like(half))
    assert np.isfinite(nowhere).all()


@pytest.mark.parametrize("scale", [0.3, 1.0, 1.25])
def test_a_face_of_about_the_crop_s_size_is_resampled_and_nothing_else(scale: float) -> None:
    old = scene(round(scale * SIZE), 0.1)
    crop = crop_of(scene(3 * SIZE, 0.02, seed=1))
    plain = resample(crop, forward(scale), old.shape[:2])[0].permute(1, 2, 0)
    assert np.array_equal(put(crop, old, scale), ((plain.double() + 1) * 127.5).numpy())


def test_it_sets_in_without_a_jump() -> None:
    old, crop = scene(2 * SIZE, 0.02), crop_of(scene(3 * SIZE, 0.02, seed=1))
    scales = [float(scale) for scale in np.linspace(1.2, 1.8, 61)]
    plain = [enlarged(crop, forward(scale), everywhere(old), None) for scale in scales]
    added = [np.abs(put(crop, old, scale) - before).mean() for scale, before in zip(scales, plain, strict=True)]
    assert added[0] == 0.0 and added[-1] > 1.0
    assert max(abs(after - before) for before, after in pairwise(added)) < max(added) / 5
