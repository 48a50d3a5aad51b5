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
class Chosen:
    """What a person becomes of whom there are several pictures."""

    seed_id: str
    targets: tuple[Target, ...]  # the identity, and the same further away; none: obscured in every picture
    refusal: str = ""  # why there is none
    softened: bool = False  # its new faces are made of a softened look at the old ones

    def assigned(self, index: int, detection: Detection, video: str = "") -> "Assigned":
        """The same for one picture's face."""
        return Assigned(index, detection, self.seed_id, self.targets, self.refusal, self.softened, video)


@dataclass(frozen=True, eq=False)
class Assigned:
    """One face of a picture, and what it becomes."""

    index: int
    detection: Detection
    seed_id: str
    targets: tuple[Target, ...]  # tried in order; none: the face is obscured
    refusal: str = ""  # why there is none
    softened: bool = False  # made of a softened look at the face from the first on
    video: str = ""  # what faces are borrowed by, so that a track keeps its donor


class TrackAnonymizer(Protocol):
    """What a video needs of `cfanet.anonymizer.Anonymizer`."""

    def choose(self, images: Sequence[ImageArray], detections: Sequence[Detection], name: str, index: int) -> Chosen:
        """A new identity for one person of whom several pictures are given, one detection each."""
        ...

    def run_assigned(self, image: ImageArray, name: str, assigned: Sequence[Assigned]) -> ImageResult:
        """Give the faces of a picture the identities chosen for them."""
        ...

    def seed_id(self, name: str, index: int) -> str:
        """Name of the seed of a track."""
        ...
