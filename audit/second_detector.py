"""The auditor's own face detectors, of another kind than the anonymizer's, to find what was missed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import dlib
import face_recognition_models
import numpy as np
from PIL import Image

from audit.config import AuditSettings
from cfanet.boxes import iou
from cfanet.records import Box, ImageArray

_SAME_FACE = 0.4  # intersection over union of two detectors' boxes


@dataclass(frozen=True)
class SeenFace:
    """One face in a released picture."""

    box: Box
    score: float  # the detector's own scale; larger is surer


class SecondDetector(Protocol):
    """Finds faces in released pictures."""

    name: str

    def detect(self, image: ImageArray) -> list[SeenFace]:
        """Return the faces of one (H, W, 3) uint8 RGB picture, by descending score."""
        ...


@cache
def _frontal_detector() -> dlib.fhog_object_detector:
    """dlib's; once for a process, because it takes dlib half a second to unpack."""
    return dlib.get_frontal_face_detector()


class HogDetector:
    """dlib's frontal detector: histograms of oriented gradients and a linear classifier; no learned features shared
    with any convolutional detector. Frontal and near-frontal faces of 80 px, or 40 px after one doubling.
    """

    name = "dlib-hog"

    def __init__(self, upsample: int = 1, max_side: int = 1600, min_score: float = 0.3) -> None:
        """`upsample` doublings after pictures longer than `max_side` pixels were shrunk to it.

        Of 1,201 faces in portraits 96 % score 0.3 or more; the strongest patch of background seen so far scores 0.12.
        """
        self._detector = _frontal_detector()
        self._upsample = upsample
        self._max_side = max_side
        self._min_score = min_score

    def detect(self, image: ImageArray) -> list[SeenFace]:
        """Return the faces of one (H, W, 3) uint8 RGB picture, by descending score."""
        small, scale = _shrunk(image, self._max_side)
        boxes, scores, _ = self._detector.run(small, self._upsample, self._min_score)
        return _seen(zip(boxes, scores, strict=True), scale)


class CnnDetector:
    """dlib's max-margin network: turned and profile faces too, of 80 px, or 40 px after one doubling.

    Trained on other pictures and with another loss than MTCNN. Fifteen times as slow as the frontal detector.
    """

    name = "dlib-cnn"

    def __init__(self, upsample: int = 0, max_side: int = 1600, min_score: float = 0.3) -> None:
        """`upsample` doublings after pictures longer than `max_side` pixels were shrunk to it."""
        self._detector = dlib.cnn_face_detection_model_v1(face_recognition_models.cnn_face_detector_model_location())
        self._upsample = upsample
        self._max_side = max_side
        self._min_score = min_score

    def detect(self, image: ImageArray) -> list[SeenFace]:
        """Return the faces of one (H, W, 3) uint8 RGB picture, by descending score."""
        small, scale = _shrunk(image, self._max_side)
        found = [(d.rect, d.confidence) for d in self._detector(small, self._upsample)]
        return _seen([pair for pair in found if pair[1] >= self._min_score], scale)


class BothDetectors:
    """The frontal detector for small faces and the network for turned ones; a face that both see is seen once."""

    name = "dlib-hog+cnn"

    def __init__(self, detectors: Sequence[SecondDetector]) -> None:
        """Look with each, in this order."""
        self._detectors = detectors

    def detect(self, image: ImageArray) -> list[SeenFace]:
        """Return the faces of one (H, W, 3) uint8 RGB picture, by descending score."""
        found: list[SeenFace] = []
        for detector in self._detectors:
            seen = detector.detect(image)
            found += [face for face in seen if not any(iou(face.box, other.box) > _SAME_FACE for other in found)]
        return sorted(found, key=lambda face: (-face.score, face.box))


class NoSecondDetector:
    """Looks for nothing; the report then says that missed faces are not covered."""

    name = "none"

    def detect(self, image: ImageArray) -> list[SeenFace]:
        """Return no face."""
        return []


def build_second_detector(settings: AuditSettings) -> SecondDetector:
    """The second detector that the settings name."""
    given = (settings.second_detector_max_side, settings.second_detector_score)
    upsample = settings.second_detector_upsample
    match settings.second_detector:
        case "none":
            return NoSecondDetector()
        case "dlib-cnn":
            return CnnDetector(upsample, *given)
        case "dlib-hog+cnn":
            return BothDetectors((HogDetector(upsample, *given), CnnDetector(max(0, upsample - 1), *given)))
        case "dlib-hog":
            return HogDetector(upsample, *given)


def _shrunk(image: ImageArray, max_side: int) -> tuple[ImageArray, float]:
    """The picture at `max_side` pixels or fewer, and by what it was scaled."""
    height, width = image.shape[:2]
    scale = min(1.0, max_side / max(height, width))
    if scale < 1.0:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))
    return np.ascontiguousarray(image), scale


def _seen(found: Iterable[tuple[dlib.rectangle, float]], scale: float) -> list[SeenFace]:
    faces = [
        SeenFace((r.left() / scale, r.top() / scale, (r.right() + 1) / scale, (r.bottom() + 1) / scale), float(score))
        for r, score in found
    ]
    return sorted(faces, key=lambda face: (-face.score, face.box))
