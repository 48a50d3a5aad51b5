"""The identity policy: where on the hypersphere to move, and the identity branch as the loop's own recognizer."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cfanet.align import crop_points, similarity_transform, warp
from cfanet.assigned import Target
from cfanet.config import AnonymizeSettings, LoopSettings
from cfanet.expression import KeptExpression
from cfanet.hypersphere import rotate, tangent
from cfanet.recognizers import threshold_at
from cfanet.records import Embeddings, ImageArray, Landmarks
from cfanet.search import References
from cfanet.weights import IdentitySpread, TrainedGenerator

IDENTITY_BRANCH = "identity-branch"
MAX_ANGLE_DEG = 150.0  # further out, decoded vectors are no longer faces
_CROWD_MOST = 8_192  # people that a direction is compared with: its cost grows with them


@dataclass(frozen=True, eq=False)
class Crowd:
    """People whom new identities keep away from, and how many directions are drawn to find one that does."""

    vectors: Tensor  # (N, d) float32 unit-norm, N > 0
    draws: int  # 1: whichever is drawn first

    @classmethod
    def of(cls, people: References, draws: int) -> "Crowd":
        """Everybody of a gallery; of a large one every so-manieth by name, whatever its order."""
        step = -(-len(people.ids) // _CROWD_MOST)
        chosen = sorted(range(len(people.ids)), key=people.ids.__getitem__)[::step]
        return cls(torch.from_numpy(np.ascontiguousarray(people.embeddings[chosen], dtype=np.float32)), draws)


@dataclass(frozen=True, eq=False)
class IdentityPolicy:
    """What decides the direction of a new identity."""

    spread: IdentitySpread
    kept: KeptExpression | None = None  # of the old face's expression
    crowd: Crowd | None = None

    @classmethod
    def of(
        cls, generator: TrainedGenerator, settings: AnonymizeSettings, crowd: Crowd | None = None
    ) -> "IdentityPolicy":
        """What a release with these settings goes by; without slopes in the generator's file, no expression is kept."""
        shares = {"eyes": settings.keep_eyes, "smile": settings.keep_smile}
        return cls(generator.spread, KeptExpression.of(generator.slopes, shares), crowd)


def propose(z_id: Tensor, policy: IdentityPolicy, angle_deg: float, rng: torch.Generator) -> Tensor:
    """A new identity at exactly `angle_deg` from `z_id` (Eq. 10 with equality); (d,) unit-norm → (d,) unit-norm."""
    origin = z_id.double()
    return rotate(origin, _direction(origin, policy, angle_deg, rng), math.radians(angle_deg)).float()


def directions(
    origin: Tensor,
    policy: IdentityPolicy,
    angles_deg: Sequence[float],
    count: int,
    rng: Callable[[int], torch.Generator],
) -> Iterator[list[tuple[Target, ...]]]:
    """For each attempt `count` directions from `origin` (d,), each with the identities at its and all further angles.

    `rng` makes the generator of an attempt.
    """
    start = origin.double()
    for n, first in enumerate(angles_deg):
        drawn, angles = rng(n), sorted(set(angles_deg[n:]))
        several = [_direction(start, policy, first, drawn) for _ in range(count)]
        yield [
            tuple(Target(angle, rotate(start, towards, math.radians(angle)).float()) for angle in angles)
            for towards in several
        ]


def _direction(origin: Tensor, policy: IdentityPolicy, angle_deg: float, rng: torch.Generator) -> Tensor:
    """Unit tangent at `origin` (d,) float64 towards a draw from the spread of real identities.

    A uniformly random tangent of a high-dimensional sphere is mostly noise to the decoder. With a crowd, several are
    drawn, and the one is taken that leads to the identity whose nearest neighbour in the crowd is furthest away.
    """
    crowd, angle = policy.crowd, math.radians(angle_deg)
    draws = 1 if crowd is None else crowd.draws
    towards = tangent(origin, torch.stack([policy.spread.goal(rng) for _ in range(draws)]).double())
    if policy.kept is not None:
        towards = policy.kept.turn(origin, towards, angle)
    if crowd is None or draws == 1:
        return towards[0]
    nearest = (rotate(origin, towards, angle).float() @ crowd.vectors.T).amax(1)
    return towards[int(nearest.argmin())]


def angle_of_attempt(settings: LoopSettings, start_deg: float, shown: int) -> float:
    """The angle to try after `shown` attempts that showed the original, in degrees.

    Further out with each of them, up to MAX_ANGLE_DEG or the start.
    """
    return min(start_deg + shown * settings.angle_step_deg, max(start_deg, MAX_ANGLE_DEG))


class IdentityBranch:
    """The generator's own identity branch as a recognizer: a first check that needs no other weights."""

    name = IDENTITY_BRANCH

    def __init__(self, generator: TrainedGenerator, device: str = "cpu") -> None:
        """Share the generator's encoder."""
        self._network = generator.network
        self._thresholds = generator.thresholds
        self._device = device
        self._size = generator.network.config.resolution
        self.dim = generator.network.config.identity_dim
        self.digest = generator.digest

    @torch.inference_mode()
    def embed(self, images: Sequence[ImageArray], landmarks: Sequence[Landmarks]) -> Embeddings:
        """Embed one face per picture; returns (N, dim) float32 unit-norm: z_id."""
        rows = np.zeros((len(images), self.dim), dtype=np.float32)
        for row, image, five in zip(rows, images, landmarks, strict=True):
            matrix = similarity_transform(five, crop_points(self._size))
            crop = warp(image, matrix, (self._size, self._size)).to(self._device)
            row[:] = self._network.identify(crop)[0].float().cpu().numpy()
        return rows

    def threshold(self, fmr: float) -> float:
        """Similarity threshold at `fmr`, measured at training time on people held out of it."""
        return threshold_at(self.name, self._thresholds, fmr)
