"""Methods that have faces of their own and no loop: which there are, and how they are made from the settings."""

from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from cfanet.config import AnonymizeSettings
from cfanet.donors import load_donors
from cfanet.ksame import KSame
from cfanet.swap import DonorSwap


class FaceSource(Protocol):
    """Gives a face in place of another."""

    digest: str  # SHA-256 of what it borrows from, hex
    size: int  # side of its crops

    def face(self, crop: Tensor, points: Tensor, rng: torch.Generator) -> Tensor:
        """A face for an aligned one; (1, 3, size, size) in [-1, 1] and (5, 2) landmarks → (1, 3, size, size)."""
        ...


def face_source(settings: AnonymizeSettings) -> FaceSource | None:
    """What the method borrows faces from, None for methods that borrow none; errors as of `load_donors`."""
    donors, file = settings.donors, Path(settings.donors.file)
    match settings.method:
        case "k-same":
            return KSame(load_donors(file, donors.k), donors.k)
        case "k-same-eigen":
            return KSame(load_donors(file, donors.k), donors.k, donors.components)
        case "donor-swap":
            return DonorSwap(load_donors(file, 2))
        case _:
            return None
