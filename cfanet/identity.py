"""The identity policy: where on the hypersphere to move, and the identity branch as the loop's own recognizer."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from cfanet.align import crop_points, similarity_transform, warp
from cfanet.assigned import Target
from cfanet.config import LoopSettings
from cfanet.hypersphere import rotate, tangent
from cfanet.recognizers import threshold_at
from cfanet.records import Embeddings, ImageArray, Landmarks
from cfanet.weights import IdentitySpread, TrainedGenerator

IDENTITY_BRANCH = "identity-branch"
MAX_ANGLE_DEG = 150.0  # further out, decoded vectors are no longer faces


def propose(z_id: Tensor, spread: IdentitySpread, angle_deg: float, rng: torch.Generator) -> Tensor:
    """A new identity at exactly `angle_deg` from `z_id` (Eq. 10 with equality); (d,) unit-norm → (d,) unit-norm.

    The direction leads towards a vector drawn from the spread of real identities: a uniformly random tangent of a
    high-dimensional sphere is mostly noise to the decoder.
    """
    origin = z_id.double()
    towards = tangent(origin, spread.sample(rng).double())
    return rotate(origin, towards, math.radians(angle_deg)).float()


def directions(
    origin: Tensor, spread: IdentitySpread, angles_deg: Sequence[float], rng: Callable[[int], torch.Generator]
) -> list[tuple[Target, ...]]:
    """For each attempt a direction from `origin` (d,), and the identities in it: at its angle and at all further ones.

    `rng` makes the generator of an attempt, the same each time.
    """
    return [
        tuple(Target(angle, propose(origin, spread, angle, rng(n))) for angle in sorted(set(angles_deg[n:])))
        for n in range(len(angles_deg))
    ]


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
