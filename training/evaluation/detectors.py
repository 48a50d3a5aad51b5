"""Face detectors as others use them, each with its own defaults: does an anonymized face still look like one?"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import dlib
import face_recognition_models
import numpy as np
import torch

from cfanet.boxes import overlap
from cfanet.errors import ConfigError, PictureError
from cfanet.records import Box, ImageArray, Landmarks
from training.evaluation.cache import Cache, code_digest, key_of
from training.evaluation.faces import face_at
from training.evaluation.samples import Photo

NAMES = ("mtcnn", "dlib-hog", "dlib-cnn")
_FOUND = 0.5  # share of the smaller box in common


@dataclass(frozen=True, eq=False)
class Sighting:
    """One face that a detector says is there."""

    box: Box
    score: float
    landmarks: Landmarks | None = None  # (5, 2); None: this detector gives none


Detect = Callable[[ImageArray], list[Sighting]]
"""(H, W, 3) uint8 RGB → faces."""


def load_detector(name: str, device: str = "cpu") -> Detect:
    """A detector by name; ConfigError names the known ones.

    mtcnn: facenet-pytorch as it comes (faces from 20 px). dlib-hog: the frontal detector, one doubling.
    dlib-cnn: max-margin detection, one doubling; seconds a picture without a GPU.
    """
    if name == "mtcnn":
        from facenet_pytorch import MTCNN  # with torchvision, which takes seconds: only where it is asked for

        return _mtcnn(MTCNN(keep_all=True, device=device))
    if name == "dlib-hog":
        detector = dlib.get_frontal_face_detector()
        return lambda image: [_sighting(*found) for found in zip(*detector.run(image, 1, 0.0)[:2], strict=True)]
    if name == "dlib-cnn":
        weights = Path(face_recognition_models.cnn_face_detector_model_location())
        network = dlib.cnn_face_detection_model_v1(str(weights))
        return lambda image: [_sighting(found.rect, found.confidence) for found in network(image, 1)]
    raise ConfigError(f"unknown detector {name!r}: use one of {', '.join(NAMES)}")


class Observer:
    """Detectors behind a cache: each looks once at a picture, whatever asks."""

    def __init__(self, cache: Cache, device: str = "cpu") -> None:
        """Detectors are loaded when first asked for."""
        self._cache = cache
        self._device = device
        self._loaded: dict[str, Detect] = {}

    def load(self, name: str) -> Detect:
        """A detector, loaded once; ConfigError for an unknown name."""
        if name not in self._loaded:
            self._loaded[name] = load_detector(name, self._device)
        return self._loaded[name]

    def see(self, name: str, photo: Photo) -> list[Sighting]:
        """All faces that a detector finds in a picture."""
        key = key_of("sightings", name, detectors_digest(), photo.digest)
        value = self._cache.get(key)
        if value is None:
            value = _pack(self._look(name, photo))
            self._cache.put(key, value)
        return _unpack(value)

    def found(self, name: str, photo: Photo, place: Box) -> bool:
        """Whether a detector sees a face that shares half of the smaller box with `place`."""
        return any(overlap(sighting.box, place) >= _FOUND for sighting in self.see(name, photo))

    def again(self, photo: Photo, place: Box) -> Sighting | None:
        """The face that whoever runs MTCNN as it comes takes for the one at `place`; None where it finds none."""
        return face_at(self.see("mtcnn", photo), place)

    def _look(self, name: str, photo: Photo) -> list[Sighting]:
        detect = self.load(name)
        try:
            return detect(np.ascontiguousarray(photo.picture.pixels))
        except RuntimeError as error:
            raise PictureError("detector_failed", f"{name} could not process a picture: {error}") from error


@cache
def detectors_digest() -> str:
    """SHA-256 of what a detector's answer depends on besides the picture, hex."""
    return key_of(code_digest(Path(__file__)), *(version(name) for name in ("dlib-bin", "facenet-pytorch")))


def _mtcnn(networks: Any) -> Detect:
    @torch.inference_mode()
    def detect(image: ImageArray) -> list[Sighting]:
        boxes, scores, points = networks.detect(image, landmarks=True)
        if boxes is None:
            return []
        return [
            Sighting(cast(Box, tuple(float(v) for v in box)), float(score), np.asarray(five, dtype=np.float32))
            for box, score, five in zip(boxes, scores, points, strict=True)
        ]

    return detect


def _sighting(found: dlib.rectangle, score: float) -> Sighting:
    box = float(found.left()), float(found.top()), float(found.right() + 1), float(found.bottom() + 1)
    return Sighting(box, float(score))


def _pack(sightings: list[Sighting]) -> bytes:
    rows = [[s.box, s.score, None if s.landmarks is None else s.landmarks.tolist()] for s in sightings]
    return json.dumps(rows).encode()


def _unpack(value: bytes) -> list[Sighting]:
    return [
        Sighting(tuple(box), score, None if five is None else np.array(five, dtype=np.float32))
        for box, score, five in json.loads(value)
    ]
