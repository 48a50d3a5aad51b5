"""A face on its way through the anonymizer: what was found, what became of it so far."""

from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from torch import Tensor

from cfanet.align import Matrix
from cfanet.boxes import share_inside
from cfanet.config import AnonymizeSettings
from cfanet.enlarge import Sharpness
from cfanet.paste import Patch
from cfanet.records import Box, Comparison, Detection

T = TypeVar("T")


@dataclass(eq=False)
class Face:
    """A face under way."""

    picture: int
    index: int
    detection: Detection
    seed_id: str
    refusal: str = ""  # why nothing is generated for it
    matrix: Matrix | None = None  # None where nothing can be generated
    sharpness: Sharpness | None = None  # of the old face, where its picture shows it larger than the crop
    crop: Tensor | None = None  # (1, 3, R, R), with content and z_id what the generator needs
    content: Tensor | None = None
    softened: Tensor | None = None  # content of the softened crop, once it is asked for
    z_id: Tensor | None = None
    places: Tensor | None = None  # (1, 5, 2) landmarks in its crop, once they are asked for
    restored: Tensor | None = None  # decoded as it is, where the generator carries over what that lacks
    middle: bytes = b""  # of its box, as it was: `face_patch`
    originals: dict[str, np.ndarray] = field(default_factory=dict)
    attempts: int = 0
    shown: int = 0  # of them, those in which the original still showed
    structured: int = 0  # of these, those that showed its fine structure
    requested_deg: float | None = None
    measured_deg: float | None = None
    comparisons: tuple[Comparison, ...] = ()
    patch: Patch | None = None  # the accepted one
    hidden: bool = False  # it did not pass, and lies under other new faces so that it needs no cover

    @property
    def box(self) -> Box:
        """Where it is in its picture, xyxy pixels."""
        return self.detection.box

    @property
    def reason(self) -> str:
        """Why it has no new face, of one that has none; of another one, what is special about its own."""
        if self.patch is not None:
            return "" if self.softened is None else "made of a softened look"
        reason = self.refusal or "did not pass the loop"
        return f"{reason}; lies under another new face" if self.hidden else reason


TOO_UNCERTAIN = "too uncertain to be judged"


def unreplaceable(detection: Detection, height: int, width: int, settings: AnonymizeSettings) -> str:
    """Why a face of a picture of this size gets no new one, whatever the loop would say; empty where one is tried."""
    doubtful = detection.score < settings.min_replace_score
    return unjudged(detection.box, height, width, settings) or (TOO_UNCERTAIN if doubtful else "")


def unjudged(box: Box, height: int, width: int, settings: AnonymizeSettings) -> str:
    """Why nobody could tell whether a new face in a box of a picture of this size passes; empty where one can."""
    if box[2] - box[0] < settings.min_replace_px:
        return "too small to be judged"
    if share_inside(box, height, width) < settings.min_replace_inside:
        return "too much of it outside the picture to be judged"
    return ""


def known(value: T | None) -> T:
    """A value that an earlier step computed."""
    assert value is not None, "asked for before it was computed"
    return value
