"""Files of donors for tests: noise in which every donor differs from every other."""

from pathlib import Path

import torch

from cfanet.align import crop_points
from cfanet.donors import save_donors

SIZE = 32


def noise_crops(count: int, seed: int = 0) -> torch.Tensor:
    """(count, 3, SIZE, SIZE) uint8, smooth enough that a sketch sees the differences."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 4, 4, generator=rng) * 255.0
    return torch.nn.functional.interpolate(coarse, size=(SIZE, SIZE), mode="bilinear").round().byte()


def write_noise_donors(path: Path, count: int = 12) -> Path:
    points = torch.from_numpy(crop_points(SIZE)).repeat(count, 1, 1)
    points += 0.5 * torch.randn(points.shape, generator=torch.Generator().manual_seed(1))
    save_donors(path, noise_crops(count), points, {"made": "for tests"})
    return path
