"""Identities that were chosen elsewhere than for one picture: what a track hands to each of its frames."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from cfanet.records import Detection, ImageArray, ImageResult


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
    video: str = ""  # what faces are borrowed by, so that a track keeps its donor


class TrackAnonymizer(Protocol):
    """What a video needs of `cfanet.anonymizer.Anonymizer`."""

    def targets(
        self, images: Sequence[ImageArray], detections: Sequence[Detection], name: str, index: int
    ) -> list[tuple[Target, ...]]:
        """New identities for one person of whom several pictures are given, one tuple an attempt."""
        ...

    def run_assigned(self, image: ImageArray, name: str, assigned: Sequence[Assigned]) -> ImageResult:
        """Give the faces of a picture the identities chosen for them."""
        ...

    def seed_id(self, name: str, index: int) -> str:
        """Name of the seed of a track."""
        ...
