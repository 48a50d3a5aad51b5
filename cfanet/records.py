"""What the library says about a picture and its faces. Frozen, plain, free of pixels except where named."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

ImageArray = npt.NDArray[np.uint8]
"""A picture at the API's edge: (H, W, 3) uint8 RGB."""
Landmarks = npt.NDArray[np.float32]
"""Five points, (5, 2) float32 pixels (x, y): left eye, right eye, nose, left and right mouth corner."""
Embeddings = npt.NDArray[np.float32]
"""(N, d) float32, unit norm."""
Box = tuple[float, float, float, float]
"""xyxy pixels."""


class ImageStatus(StrEnum):
    """What happened to a picture; the four words of every count, ledger and report."""

    ANONYMIZED = "anonymized"  # every face was replaced and passed its checks
    NO_FACE = "no_face"  # the detector found none, before and after re-encoding
    OBSCURED = "obscured"  # at least one face could not be replaced and was obscured instead
    QUARANTINED = "quarantined"  # withheld: nothing of this picture reaches the output


class FaceDecision(StrEnum):
    """What was done with one face."""

    REPLACED = "replaced"
    OBSCURED = "obscured"
    WITHHELD = "withheld"


@dataclass(frozen=True, eq=False)
class Detection:
    """One face found by a detector."""

    box: Box
    score: float  # detector's confidence in [0, 1]
    landmarks: Landmarks  # (5, 2) float32 pixels


@dataclass(frozen=True)
class Comparison:
    """One comparison of a probe face with a reference, by one recognizer."""

    recognizer: str
    kind: Literal["mated", "gallery", "outside"]  # with its own original, or the best match of a gallery search
    reference_id: str
    similarity: float  # cosine, float64
    angle_deg: float  # 2·atan2(|u−v|, |u+v|)
    threshold: float  # similarity at or above which the recognizer says "same person"

    @property
    def passed(self) -> bool:
        """True when the recognizer does not call the two faces the same person."""
        return self.similarity < self.threshold


@dataclass(frozen=True)
class FaceRecord:
    """What was found and done for one face of one picture."""

    face_index: int
    box: Box
    detector: str
    detector_score: float
    method: str  # the settings' method, or the obscurer
    decision: FaceDecision
    attempts: int
    requested_angle_deg: float | None  # between the original and the chosen identity vector
    measured_angle_deg: float | None  # between the re-encoded output and the original, in z_id
    seed_id: str
    comparisons: tuple[Comparison, ...] = ()
    detail: str = ""


@dataclass(frozen=True, eq=False)
class ImageResult:
    """The outcome for one picture; `image` is None exactly when it is quarantined."""

    id: str
    status: ImageStatus
    detail: str
    image: ImageArray | None
    faces: tuple[FaceRecord, ...] = field(default=())


Excused = Callable[[np.ndarray], np.ndarray]
"""Boxes (N, 4) float32 xyxy → (N,) bool: those that need not be looked at closely, whatever they hold."""


class Detector(Protocol):
    """Finds all faces of a picture."""

    name: str

    def detect(self, image: ImageArray) -> list[Detection]:
        """Return the faces of one (H, W, 3) uint8 RGB picture, by descending score."""
        ...

    def detect_every(self, image: ImageArray, excused: Excused | None = None) -> list[Detection]:
        """Return everything that looked like a face, one face several times perhaps: for checks of what is released.

        What lies in `excused` regions may be missing.
        """
        ...


class Recognizer(Protocol):
    """Turns faces into unit vectors whose cosine says how alike two people are."""

    name: str
    dim: int
    digest: str  # SHA-256 of the weights, hex

    def embed(self, images: Sequence[ImageArray], landmarks: Sequence[Landmarks]) -> Embeddings:
        """Embed one face per picture, given its five points; returns (N, dim) float32 unit-norm."""
        ...

    def threshold(self, fmr: float) -> float:
        """Return the similarity at which the false match rate is `fmr`; ConfigError if not known."""
        ...
