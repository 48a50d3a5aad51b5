"""A swapped face is a donor's in the original's colours, and depends on the face's own randomness alone."""

from pathlib import Path

import torch

from cfanet.align import crop_points
from cfanet.donors import as_bytes, as_crop, load_donors, sketch
from cfanet.swap import DonorSwap
from tests.cfanet.donor_files import SIZE, noise_crops, write_noise_donors


def test_a_donor_is_far_and_takes_the_originals_colours(tmp_path: Path) -> None:
    donors = load_donors(write_noise_donors(tmp_path / "d.safetensors", 40), 2)
    own, points = as_crop(noise_crops(1, seed=9)[0] // 2), torch.from_numpy(crop_points(SIZE))
    found = as_bytes(DonorSwap(donors).face(own, points, torch.Generator().manual_seed(3)))
    inside = slice(6, 26)
    assert torch.allclose(
        found[..., inside, inside].mean((-1, -2)), as_bytes(own)[..., inside, inside].mean((-1, -2)), atol=3
    )
    similar = torch.argsort((donors.points - points).square().sum((-1, -2)))[:8]
    distance = (sketch(donors.crops[similar]) - sketch(as_bytes(own))).square().sum(-1)
    normal = lambda c: (c - c.mean((-1, -2), keepdim=True)) / c.std((-1, -2), keepdim=True)  # noqa: E731
    likeness = (normal(donors.crops[similar].float()) - normal(found)).square().sum((1, 2, 3))
    assert distance[int(likeness.argmin())] >= distance.median()


def test_the_same_randomness_gives_the_same_donor_and_another_may_not(tmp_path: Path) -> None:
    method = DonorSwap(load_donors(write_noise_donors(tmp_path / "d.safetensors", 40), 2))
    own, points = as_crop(noise_crops(1, seed=9)[0]), torch.from_numpy(crop_points(SIZE))
    faces = [method.face(own, points, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2, 3, 4, 5)]
    assert torch.equal(faces[0], faces[1])
    assert any(not torch.equal(faces[0], face) for face in faces[2:])
