"""How the expression of new faces depends on their identities: the slopes that a release's directions are turned by.

First prepared faces are replaced, without a loop, by several new ones each; some landmark finder marks old and new
(docs/training.md has a recipe). Then the change of each measure of a face, lids or smile, is a ridge regression on
the step of the identity, z' − z (docs/LOG.md, 2026-11-28).
"""

import io
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cfanet.errors import InputError
from cfanet.identity import IdentityPolicy, propose
from cfanet.images import Picture, encode
from cfanet.weights import TrainedGenerator
from training.arrays import LANDMARK_FINDER, read_arrays
from training.data import UNKNOWN, load_faces

_FIELDS = ("points", "lids", "mouth", "eye_distance")
_INDEX, _PICTURES = "new-faces.npz", "new-faces.tar"
_RIDGE = 1.0 / 280.0  # per new face; R² on held-out faces is flat around it
_FOLDS = 5  # of people, for R²
_FEWEST = 100  # old faces: fewer tell little of 128 dimensions
_BATCH = 16
_SEED = 0

Rows = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Slopes:
    """What was fitted."""

    slopes: dict[str, Tensor]  # "eyes" and "smile", which `[anonymize]` can keep → (d,) float32: change with z_id
    explained: dict[str, float]  # measure → R² of its change on faces of people who were not fitted
    faces: int  # old ones with points, and at least one new one with points
    new_faces: int


@torch.inference_mode()
def make_new_faces(
    generator: TrainedGenerator,
    faces: Path,
    out: Path,
    amount: tuple[int, int],
    angle_deg: float,
    report: Callable[[int, int], object] = lambda done, total: None,
) -> int:
    """Write at most `amount[0]` prepared faces of `faces`, evenly chosen, each before `amount[1]` new ones.

    New ones are at `angle_deg` of z_id. `out` gets one shard: crops, and an index with `face` (N,), which old face a
    crop belongs to, `person` (N,), whose that is, and `identity` (N, d), z_id of the old faces and what was asked for
    of the new ones. `report` is told how many are done of how many. The same arguments make the same faces. Returns
    the number of old faces.
    """
    if others := [file.name for file in out.glob("*.npz") if file.name != _INDEX]:
        raise InputError(f"{out} holds other faces ({others[0]}): give a folder of its own")
    count, each = amount
    network, size = generator.network, generator.network.config.resolution
    prepared = load_faces(faces, size)
    rows = torch.linspace(0, len(prepared) - 1, min(count, len(prepared))).round().long()
    chosen, person = prepared.pictures[rows], _people(prepared.identity[rows])
    device = next(network.parameters()).device
    rng, policy = torch.Generator().manual_seed(_SEED), IdentityPolicy(generator.spread)
    out.mkdir(parents=True, exist_ok=True)
    (out / _INDEX).unlink(missing_ok=True)  # written last: without it the folder holds no faces
    identities: list[Tensor] = []
    with tarfile.open(out / f"{_PICTURES}.part", "w") as tar:
        for start in range(0, len(chosen), _BATCH):
            crops = (chosen[start : start + _BATCH].to(device).float() / 127.5 - 1.0).contiguous(
                memory_format=torch.channels_last
            )
            content, z_id = network.encode(crops)
            own = z_id.cpu().float()
            asked = torch.stack([torch.stack([propose(z, policy, angle_deg, rng) for _ in range(each)]) for z in own])
            new = [network.move(crops, content, z_id, asked[:, n].to(device)).float().cpu() for n in range(each)]
            for row, z in enumerate(own):
                identities += [z, *asked[row]]
                for n, crop in enumerate([crops[row].cpu(), *(several[row] for several in new)]):
                    _add(tar, f"{start + row:06}-{n:02}.png", crop)
            report(min(start + _BATCH, len(chosen)), len(chosen))
    (out / f"{_PICTURES}.part").replace(out / _PICTURES)
    old = np.arange(len(chosen)).repeat(1 + each)
    asked_for = torch.stack(identities).numpy()
    np.savez(out / _INDEX, face=old, person=person[old], identity=asked_for, generator=generator.digest)
    return len(chosen)


def _people(identity: Tensor) -> npt.NDArray[np.int64]:
    """A number for each person; faces without a label are people of their own."""
    codes = identity.numpy().astype(np.int64)
    alone = codes == UNKNOWN
    codes[alone] = codes.max() + 1 + np.arange(int(alone.sum()))
    return codes


def _add(tar: tarfile.TarFile, name: str, crop: Tensor) -> None:
    pixels = ((crop.clamp(-1.0, 1.0) + 1.0) * 127.5).round().byte().permute(1, 2, 0).contiguous().numpy()
    data = encode(Picture(pixels, "PNG"), 100)
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))


def fit_slopes(generator: TrainedGenerator, new_faces: Path, points: Path) -> Slopes:
    """Fit the slopes of `generator` to what `make_new_faces` wrote, with the points of an .npz on its crops.

    It holds `points` (N, K, 2), x and y in units of the crop's side, a row for each crop in order, NaN where nothing
    was found, and pairs of points (L, 2), the mean of whose distances is measured: `lids`, an upper and a lower one
    each, `mouth`, its corners, and `eye_distance`, between the eyes, in which the mouth is measured. InputError says
    what does not fit.
    """
    index = read_arrays(new_faces / _INDEX, ("face", "person", "identity", "generator"), "cfanet expression make")
    marked = read_arrays(points, _FIELDS, LANDMARK_FINDER)
    if str(index["generator"]) != generator.digest:
        raise InputError(f"{new_faces} was made with another generator: make new faces with the one to be fitted")
    face, identity, where = index["face"], index["identity"].astype(np.float64), marked["points"].astype(np.float64)
    if where.ndim != 3 or len(where) != len(face) or where.shape[2] != 2:
        raise InputError(f"{points}: points {where.shape} for {len(face)} crops in {new_faces}: give (N, K, 2)")
    old = np.searchsorted(face, face)  # the first crop of each face
    found: npt.NDArray[np.bool_] = np.asarray(np.isfinite(where).all((1, 2)))
    kept = np.logical_and.reduce([found, found[old], old != np.arange(len(face))])
    several = len(np.unique(face[kept]))
    if several < _FEWEST:
        raise InputError(f"{points}: points on {several} faces and new ones of theirs; at least {_FEWEST} are needed")
    lids, mouth, apart = (_mean_distance(where, _pairs(marked, name, points)) for name in _FIELDS[1:])
    steps = (identity - identity[old])[kept]
    changes = {name: (of - of[old])[kept] for name, of in (("eyes", lids), ("smile", mouth / apart))}
    return Slopes(
        {name: torch.from_numpy(_ridge(steps, change)[0]).float() for name, change in changes.items()},
        {name: _explained(steps, change, index["person"][kept]) for name, change in changes.items()},
        several,
        int(kept.sum()),
    )


def _pairs(marked: dict[str, npt.NDArray[Any]], name: str, file: Path) -> npt.NDArray[np.int64]:
    pairs, count = np.asarray(marked[name]), marked["points"].shape[1]
    if pairs.ndim != 2 or pairs.shape[1] != 2 or not len(pairs) or pairs.min() < 0 or pairs.max() >= count:
        raise InputError(f"{file}: {name} must be (L, 2) pairs of the {count} points")
    return pairs.astype(np.int64)


def _mean_distance(points: Rows, pairs: npt.NDArray[np.int64]) -> Rows:
    """Mean over (L, 2) pairs of the distances in (N, K, 2) points; (N,)."""
    distances: Rows = np.linalg.norm(points[:, pairs[:, 0]] - points[:, pairs[:, 1]], axis=-1)
    mean: Rows = distances.mean(1)
    return mean


def _ridge(steps: Rows, change: Rows) -> tuple[Rows, float]:
    """Slope (d,) and constant of `change` (N,) on `steps` (N, d)."""
    middle, level = steps.mean(0), float(change.mean())
    centred = steps - middle
    gram = centred.T @ centred + _RIDGE * len(steps) * np.eye(steps.shape[1])
    slope: Rows = np.linalg.solve(gram, centred.T @ (change - level))
    return slope, level - float(middle @ slope)


def _explained(steps: Rows, change: Rows, person: npt.NDArray[np.integer[Any]]) -> float:
    """R² of the change in faces of people whom the regression has not seen."""
    missed = 0.0
    fold = np.unique(person, return_inverse=True)[1] % _FOLDS
    for left_out in range(_FOLDS):
        slope, level = _ridge(steps[fold != left_out], change[fold != left_out])
        held = fold == left_out
        missed += float(np.square(change[held] - steps[held] @ slope - level).sum())
    return 1.0 - missed / float(np.square(change - change.mean()).sum())
