"""Face detectors as others use them, each with its own defaults: does an anonymized face still look like one?"""

from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import cast

import dlib
import face_recognition_models
import numpy as np
import torch
from facenet_pytorch import MTCNN

from cfanet.errors import ConfigError
from cfanet.records import Box, ImageArray
from training.evaluation.cache import code_digest, key_of

Detect = Callable[[ImageArray], list[Box]]
"""(H, W, 3) uint8 RGB → xyxy boxes."""
NAMES = ("mtcnn", "dlib-hog", "dlib-cnn")


def load_detector(name: str, device: str = "cpu") -> Detect:
    """A detector by name; ConfigError names the known ones.

    mtcnn: facenet-pytorch as it comes (faces from 20 px). dlib-hog: the frontal detector, one doubling.
    dlib-cnn: max-margin detection, one doubling; seconds a picture without a GPU.
    """
    if name == "mtcnn":
        return _mtcnn(MTCNN(keep_all=True, device=device))
    if name == "dlib-hog":
        detector = dlib.get_frontal_face_detector()
        return lambda image: [_box(found) for found in detector(np.ascontiguousarray(image), 1)]
    if name == "dlib-cnn":
        weights = Path(face_recognition_models.cnn_face_detector_model_location())
        network = dlib.cnn_face_detection_model_v1(str(weights))
        return lambda image: [_box(found.rect) for found in network(np.ascontiguousarray(image), 1)]
    raise ConfigError(f"unknown detector {name!r}: use one of {', '.join(NAMES)}")


@cache
def detectors_digest() -> str:
    """SHA-256 of what a detector's answer depends on besides the picture, hex."""
    return key_of(code_digest(Path(__file__)), *(version(name) for name in ("dlib-bin", "facenet-pytorch")))


def _mtcnn(networks: MTCNN) -> Detect:
    @torch.inference_mode()
    def detect(image: ImageArray) -> list[Box]:
        boxes, _ = networks.detect(image)
        return [] if boxes is None else [cast(Box, tuple(float(v) for v in box)) for box in boxes]

    return detect


def _box(found: dlib.rectangle) -> Box:
    return float(found.left()), float(found.top()), float(found.right() + 1), float(found.bottom() + 1)
