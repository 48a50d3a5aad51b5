"""Teaching a landmark network: from points that some landmark finder has put on prepared crops.

docs/training.md has a recipe for such points.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cfanet.align import at_resolution
from cfanet.errors import InputError
from training.arrays import LANDMARK_FINDER, read_arrays
from training.data import load_faces
from training.landmarks import SIDE, LandmarkNetwork, random_view, under

BATCH = 128
_RATE = 0.002
_WARM_UP = 200  # steps
_SEED = 0
_REPORT_EVERY = 100  # steps
_HELD_OUT_OF = 8  # every eighth face is kept to measure the error
_FIELDS = ("points", "mirror", "measures")


@dataclass(frozen=True, eq=False)
class MarkedFaces:
    """N prepared crops and K points on each."""

    pictures: Tensor  # (N, 3, 128, 128) uint8
    points: Tensor  # (N, K, 2) float32, x and y in units of the crop's side
    mirror: Tensor  # (K,) int64: which point each is in a mirrored face
    measures: Tensor  # (M, K) float32: what the landmark loss compares, weighted: points, or differences of points


def load_marked_faces(folder: Path, file: Path) -> MarkedFaces:
    """Prepared faces in `folder` with the points of `file`, an .npz.

    It holds `points` (N, K, 2), x and y in units of the side, a row for each prepared crop, in order of the shards'
    names, NaN where no points were found; `mirror` (K,) and `measures` (M, K) as in `MarkedFaces`. InputError says what
    does not fit.
    """
    stored = read_arrays(file, _FIELDS, LANDMARK_FINDER)
    points, mirror, measures = (torch.from_numpy(stored[name]) for name in _FIELDS)
    pictures = load_faces(folder, SIDE).pictures
    if points.dim() != 3 or points.shape[0] != len(pictures) or points.shape[2] != 2:
        raise InputError(f"{file}: points {tuple(points.shape)} for {len(pictures)} prepared faces: give (N, K, 2)")
    count = points.shape[1]
    if mirror.shape != (count,) or not torch.equal(mirror.long()[mirror.long()], torch.arange(count)):
        raise InputError(f"{file}: mirror must name the other one of each of {count} points")
    if measures.dim() != 2 or measures.shape[1] != count:
        raise InputError(f"{file}: measures {tuple(measures.shape)} for {count} points: give (M, {count})")
    found = points.isfinite().all(-1).all(-1)
    if int(found.sum()) < _HELD_OUT_OF:
        raise InputError(f"{file}: points on {int(found.sum())} faces are too few to learn from")
    return MarkedFaces(pictures[found], points[found].float(), mirror.long(), measures.float())


def points_under(view: Tensor, points: Tensor, mirror: Tensor) -> Tensor:
    """Where (N, K, 2) points, in units of the side, lie in crops under `view`; left and right keep their names."""
    linear, shift = view[:, :, :2], view[:, :, 2]
    moved = torch.linalg.solve(linear, ((2.0 * points - 1.0) - shift[:, None]).mT).mT / 2.0 + 0.5
    mirrored = torch.linalg.det(linear) < 0
    return torch.where(mirrored[:, None, None], moved[:, mirror], moved)


def fit_landmarks(
    faces: MarkedFaces,
    steps: int,
    device: str = "cpu",
    batch: int = BATCH,
    report: Callable[[int, float], object] = lambda step, error: None,
) -> tuple[LandmarkNetwork, float]:
    """Teach a network; returns it and its mean error on every eighth face, held out, in units of the side.

    `report` is told the step and its mean L1, in the same units, every hundred steps.
    """
    torch.manual_seed(_SEED)
    pictures, points = faces.pictures, faces.points
    held = torch.arange(len(points)) % _HELD_OUT_OF == 0
    network = LandmarkNetwork(points.shape[1]).to(device).to(memory_format=torch.channels_last)
    network.mean.copy_(points[~held].mean(0))
    shown, wanted = pictures[~held].to(device), points[~held].to(device)
    order = faces.mirror.to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=0.01)
    rng = torch.Generator().manual_seed(_SEED)
    for step in range(steps):
        rise, fall = (step + 1) / min(_WARM_UP, 1 + steps // 10), 0.5 * (1.0 + math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = _RATE * min(rise, fall)
        rows = torch.randint(len(shown), (batch,), generator=rng).to(device)
        view = random_view(batch, rng).to(device)
        crops = _relit(under(view, shown[rows].float() / 127.5 - 1.0), rng)
        loss = (network(crops) - points_under(view, wanted[rows], order)).abs().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if (step + 1) % _REPORT_EVERY == 0:
            report(step + 1, float(loss.detach()))
    network.eval()
    with torch.no_grad():
        parts = [network(part.to(device).float() / 127.5 - 1.0).cpu() for part in torch.split(pictures[held], 256)]
    return network, float((torch.cat(parts) - points[held]).norm(dim=-1).mean())


def _relit(crops: Tensor, rng: torch.Generator) -> Tensor:
    """Other light and colours; a third of the batches at a lower resolution."""
    n = len(crops)
    gain = 1.0 + 0.2 * torch.randn(n, 1, 1, 1, generator=rng)
    shift = 0.15 * torch.randn(n, 1, 1, 1, generator=rng)
    saturation = torch.empty(n, 1, 1, 1).uniform_(0.2, 1.5, generator=rng).to(crops)
    grey = crops.mean(1, keepdim=True)
    crops = (grey + saturation * (crops - grey)) * gain.to(crops) + shift.to(crops)
    if float(torch.rand((), generator=rng)) < 1 / 3:
        crops = at_resolution(crops, int(torch.randint(36, 110, (), generator=rng)))
    return crops.clamp(-1.0, 1.0)
