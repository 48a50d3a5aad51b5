"""Identities that were chosen elsewhere than for one picture: what a track hands to each of its frames."""

from dataclasses import dataclass

from torch import Tensor

from cfanet.records import Detection


@dataclass(frozen=True, eq=False)
class Target:
    """A new identity."""

    angle_deg: float  # from the original
    vector: Tensor  # (d,) float32 unit-norm


@dataclass(frozen=True, eq=False)
class Assigned:
    """One face of a picture, and what it becomes."""

    index: int
    detection: Detection
    seed_id: str
    targets: tuple[Target, ...]  # tried in order; none: the face is obscured
    refusal: str = ""  # why there is none
