"""Prepared faces in memory, and the pairs of a step: a function of (seed, step) alone, so that a run can resume."""

import io
import math
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, fields
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from cfanet.align import at_resolution
from cfanet.errors import InputError
from cfanet.recognizers import file_digest
from cfanet.weights import IdentitySpread
from training.config import ScheduleSettings
from training.distributed import Place

UNKNOWN = -1  # identity of a face without a label
_HELD_OUT_OF = 8  # every eighth identity is kept for evaluation


@dataclass(frozen=True, eq=False)
class FaceSet:
    """Aligned faces."""

    pictures: Tensor  # (N, 3, R, R) uint8
    identity: Tensor  # (N,) int64, UNKNOWN where there is no label
    embedding: Tensor  # (N, d) float32 unit-norm: R_id of the full-resolution face

    def __len__(self) -> int:
        return len(self.pictures)

    def subset(self, keep: Tensor) -> "FaceSet":
        """The faces where the boolean mask `keep` (N,) is true."""
        return FaceSet(self.pictures[keep], self.identity[keep], self.embedding[keep])


@dataclass(frozen=True, eq=False)
class Pairs:
    """One step's batch: first the same-identity pairs, then different people."""

    x: Tensor  # (B, 3, R, R) float32 in [-1, 1]: gives the content
    y: Tensor  # (B, 3, R, R): gives the identity, augmented
    y_clean: Tensor  # (B, 3, R, R): the same picture as it is
    x_embedding: Tensor  # (B, d)
    y_embedding: Tensor  # (B, d)
    turn: Tensor  # (B, d): where an identity is virtual, the direction to turn to from x's; else zeros
    theta_rad: Tensor  # (B,): by how much
    same: Tensor  # (B,) bool

    def rows(self, place: Place) -> "Pairs":
        """The pairs that one of several processes works on."""
        keep = place.rows(len(self.same))
        return Pairs(*(getattr(self, field.name)[keep] for field in fields(self)))


def load_faces(folder: Path, resolution: int) -> FaceSet:
    """Read every prepared shard of `folder`, averaged down to `resolution`; InputError when there is none."""
    shards = sorted(folder.glob("*.npz"))
    if not shards:
        raise InputError(f"{folder} holds no prepared faces: run `cfanet prepare SRC {folder}` first")
    pictures, names, embeddings = [], [], []
    for index in shards:
        rows = np.load(index)
        pictures.append(_read_crops(index.with_suffix(".tar"), resolution))
        names += [str(name) for name in rows["identity"]]
        embeddings.append(torch.from_numpy(rows["embedding"]))
    codes = {name: code for code, name in enumerate(sorted(set(names) - {""}))}
    identity = torch.tensor([codes.get(name, UNKNOWN) for name in names])
    return FaceSet(torch.cat(pictures), identity, torch.cat(embeddings))


def data_digest(folder: Path) -> str:
    """SHA-256 over the digests of every prepared shard and its index, in order of names; hex."""
    whole = sha256()
    for path in sorted([*folder.glob("*.npz"), *folder.glob("*.tar")]):
        whole.update(f"{path.name} {file_digest(path)}\n".encode())
    return whole.hexdigest()


def split_held_out(faces: FaceSet) -> tuple[FaceSet, FaceSet]:
    """(training, held-out) faces; people, not pictures, are held out, chosen by a hash of their code.

    InputError where nobody is chosen: thresholds and metrics need people who were not trained on.
    """
    codes = sorted(set(faces.identity.tolist()) - {UNKNOWN})
    held = [c for c in codes if int.from_bytes(sha256(str(c).encode()).digest()[:4], "big") % _HELD_OUT_OF == 0]
    if not held:
        raise InputError(f"{len(codes)} people with names are too few to hold any of them out: prepare at least 40")
    mask = torch.isin(faces.identity, torch.tensor(held, dtype=torch.int64))
    return faces.subset(~mask), faces.subset(mask)


def real_spread(faces: FaceSet) -> IdentitySpread:
    """Mean and covariance of real identity vectors: of labelled people, whose pictures were chosen as portraits."""
    return IdentitySpread.measure(faces.embedding[faces.identity != UNKNOWN])


class PairSampler:
    """Draws the pairs of any step."""

    def __init__(self, faces: FaceSet, schedule: ScheduleSettings) -> None:
        """InputError when no identity has two pictures and so no same-identity pair exists."""
        self._faces, self._batch, self._seed = faces, schedule.batch, schedule.seed
        self._same_pairs = min(max(1, round(schedule.batch * schedule.same_share)), schedule.batch - 1)
        self._labelled_share = schedule.labelled_share
        self._soft_share = schedule.soft_share
        self._virtual_share = schedule.virtual_share
        self._virtual_rad = (math.radians(schedule.virtual_from_deg), math.radians(schedule.virtual_to_deg))
        self._labelled = (faces.identity != UNKNOWN).nonzero()[:, 0]
        groups = {}
        for code in sorted(set(faces.identity.tolist()) - {UNKNOWN}):
            members = (faces.identity == code).nonzero()[:, 0]
            if len(members) >= 2:
                groups[code] = members
        if not groups:
            raise InputError("no identity has two pictures: same-identity pairs need at least one that does")
        self._groups = list(groups.values())
        self._spread = real_spread(faces)

    def step(self, step: int) -> Pairs:
        """The batch of `step`."""
        rng = torch.Generator().manual_seed(self._seed * 1_000_003 + step)
        count = self._same_pairs
        x1, y1 = zip(*(self._same(rng) for _ in range(count)), strict=True)
        x2, y2 = zip(*(self._different(rng) for _ in range(self._batch - count)), strict=True)
        xs, ys = torch.tensor(x1 + x2), torch.tensor(y1 + y2)
        faces = self._faces
        same = torch.arange(self._batch) < count
        x = _mirror(_to_float(faces.pictures[xs]), rng)
        y = _mirror(_to_float(faces.pictures[ys]), rng)
        turn, theta = self._virtual(~same, rng)
        x = soften(x, self._soft_share, rng)
        return Pairs(x, augment(y, rng), y, faces.embedding[xs], faces.embedding[ys], turn, theta, same)

    def _virtual(self, may: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """For a share of the pairs in `may`, a direction from the spread of real identities, and an angle."""
        n, low, high = len(may), *self._virtual_rad
        turn = torch.stack([self._spread.goal(rng) for _ in range(n)])
        theta = torch.empty(n).uniform_(low, high, generator=rng)
        chosen = may & (torch.rand(n, generator=rng) < self._virtual_share)
        return turn * chosen[:, None], theta * chosen

    def _same(self, rng: torch.Generator) -> tuple[int, int]:
        group = self._groups[_randint(len(self._groups), rng)]
        first, second = torch.randperm(len(group), generator=rng)[:2]
        return int(group[first]), int(group[second])

    def _different(self, rng: torch.Generator) -> tuple[int, int]:
        while True:
            first, second = self._any(rng), self._any(rng)
            a, b = int(self._faces.identity[first]), int(self._faces.identity[second])
            if first != second and (a == UNKNOWN or a != b):
                return first, second

    def _any(self, rng: torch.Generator) -> int:
        if float(torch.rand((), generator=rng)) < self._labelled_share:
            return int(self._labelled[_randint(len(self._labelled), rng)])
        return _randint(len(self._faces), rng)


class _Steps(Dataset[Pairs]):
    """A range of steps as torch's loader wants it."""

    def __init__(self, sampler: PairSampler, first: int, last: int) -> None:
        self._sampler, self._first, self._last = sampler, first, last

    def __len__(self) -> int:
        return max(0, self._last - self._first)

    def __getitem__(self, row: int) -> Pairs:
        return self._sampler.step(self._first + row)


def pairs_of_steps(sampler: PairSampler, first: int, last: int, workers: int = 0) -> Iterator[Pairs]:
    """The batches of steps `first` to `last` − 1, in order; drawn ahead by as many processes as `workers`.

    Drawing 64 pairs takes a core about as long as a GPU needs to learn from them (docs/LOG.md). What is drawn depends
    on the step alone, so that the number of processes changes nothing.
    """
    steps = _Steps(sampler, first, last)
    yield from DataLoader(steps, batch_size=None, num_workers=workers, prefetch_factor=4 if workers else None)


def soften(pictures: Tensor, share: float, rng: torch.Generator) -> Tensor:
    """A share of the pictures at the resolution that small faces have: at worst a fifth of the side.

    (N, 3, R, R) in [-1, 1] → the same shape. The source is degraded, not what is asked of it: its identity stays R_id's
    view of the sharp picture, so that small faces are moved from where the person is.
    """
    side, out = pictures.shape[-1], pictures.clone()
    chosen = torch.rand(len(pictures), generator=rng) < share
    for i in chosen.nonzero()[:, 0].tolist():
        out[i : i + 1] = at_resolution(pictures[i : i + 1], int(side * _uniform(0.2, 0.7, rng)))
    return out


def augment(pictures: Tensor, rng: torch.Generator) -> Tensor:
    """What the identity branch must not depend on: brightness, contrast, saturation, resolution, a hidden patch.

    (N, 3, R, R) in [-1, 1] → the same shape.
    """
    n, _, side, _ = pictures.shape
    gain = 1.0 + 0.25 * torch.randn(n, 1, 1, 1, generator=rng)
    shift = 0.15 * torch.randn(n, 1, 1, 1, generator=rng)
    saturation = torch.empty(n, 1, 1, 1).uniform_(0.2, 1.5, generator=rng)
    grey = pictures.mean(1, keepdim=True)
    out = ((grey + saturation * (pictures - grey)) * gain + shift).clamp(-1, 1)
    for i in range(n):
        if torch.rand((), generator=rng) < 0.3:
            out[i : i + 1] = at_resolution(out[i : i + 1], int(side * _uniform(0.35, 0.8, rng)))
        if torch.rand((), generator=rng) < 0.3:
            hole = side // 4
            top, left = _randint(side - hole, rng), _randint(side - hole, rng)
            out[i, :, top : top + hole, left : left + hole] = 0.0
    return out


def _mirror(pictures: Tensor, rng: torch.Generator) -> Tensor:
    flip = torch.rand(len(pictures), generator=rng) < 0.5
    return torch.where(flip[:, None, None, None], pictures.flip(-1), pictures)


def _to_float(pictures: Tensor) -> Tensor:
    return pictures.float() / 127.5 - 1.0


def _uniform(low: float, high: float, rng: torch.Generator) -> float:
    return float(torch.empty(()).uniform_(low, high, generator=rng))


def _randint(high: int, rng: torch.Generator) -> int:
    return int(torch.randint(high, (), generator=rng))


def _read_crops(path: Path, resolution: int) -> Tensor:
    crops = []
    with tarfile.open(path) as tar:
        for member in tar:
            file = tar.extractfile(member)
            assert file is not None, f"{path}: {member.name} is not a file"
            pixels = np.asarray(Image.open(io.BytesIO(file.read())).convert("RGB"))
            crops.append(torch.from_numpy(pixels.copy()).permute(2, 0, 1))
    stacked = torch.stack(crops)
    if stacked.shape[-1] == resolution:
        return stacked
    if stacked.shape[-1] % resolution:
        raise InputError(f"{path}: crops of {stacked.shape[-1]} px cannot be averaged down to {resolution} px")
    parts = [F.avg_pool2d(part.float(), stacked.shape[-1] // resolution) for part in torch.split(stacked, 512)]
    return torch.cat(parts).round().clamp(0, 255).byte()
