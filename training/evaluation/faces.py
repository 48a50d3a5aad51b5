"""Faces and their embeddings, looked for once: every experiment asks here."""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeVar, cast
from weakref import WeakKeyDictionary

import numpy as np

from cfanet.boxes import overlap
from cfanet.config import DetectorSettings
from cfanet.errors import PictureError
from cfanet.records import Box, Detection, Detector, Landmarks, Recognizer
from training.evaluation.cache import Cache, key_of
from training.evaluation.public_domain import many_faces
from training.evaluation.samples import Photo
from training.prepare import main_face

_SAME_PLACE = 0.5  # share of the smaller box that two boxes of one face have in common


@dataclass(frozen=True, eq=False)
class Look:
    """What the detector saw in a picture."""

    faces: tuple[Detection, ...]  # by descending score
    subject: int | None  # position of the person the picture is of; None: failure to acquire
    unreadable: bool = False

    @property
    def main(self) -> Detection | None:
        """The face of the person the picture is of."""
        return None if self.subject is None else self.faces[self.subject]


class Examiner:
    """Detector and recognizers behind a cache."""

    def __init__(
        self, cache: Cache, detector: Detector, settings: DetectorSettings, recognizers: Mapping[str, Recognizer]
    ) -> None:
        """`settings` are the detector's; they are part of what a cached detection depends on."""
        self.recognizers = dict(recognizers)
        self._cache = cache
        self._detector = detector
        self._settings = settings

    def look(self, photo: Photo) -> Look:
        """All faces of a picture and which of them is its subject."""
        key = key_of("faces", photo.digest, self._detector_key)
        value = self._cache.get(key)
        if value is None:
            try:
                pixels = photo.picture.pixels
                found = self._detector.detect(pixels)
            except PictureError:
                return Look((), None, unreadable=True)
            value = _pack(found, pixels.shape[1], pixels.shape[0])
            self._cache.put(key, value)
        faces, width, height = _unpack(value)
        main = main_face(faces, width, height)
        return Look(tuple(faces), None if main is None else faces.index(main))

    @cached_property
    def _detector_key(self) -> str:
        found = _once(self._detector, lambda: detector_fingerprint(self._detector))
        return key_of(self._detector.name, self._settings.model_dump_json(), found)

    def embed(self, recognizer: str, photo: Photo, landmarks: Landmarks) -> np.ndarray:
        """The face at five points, as a recognizer sees it; (d,) float32 unit-norm."""
        model = self.recognizers[recognizer]
        five = np.ascontiguousarray(landmarks, dtype=np.float32)
        key = key_of("embedding", photo.digest, _once(model, lambda: fingerprint(model)), five.tobytes())
        value = self._cache.get(key)
        if value is None:
            value = model.embed([photo.picture.pixels], [five])[0].astype(np.float32).tobytes()
            self._cache.put(key, value)
        return np.frombuffer(value, dtype=np.float32)


def fingerprint(recognizer: Recognizer) -> str:
    """What a recognizer is: its name, its weights, and what it makes of a fixed pattern at a tilt, hex.

    Another alignment, size or normalisation gives the pattern another vector, so nothing that was kept under the old
    one is taken for the new one; code that does not touch this recognizer changes nothing.
    """
    y, x = np.mgrid[0:200, 0:200].astype(np.float64)
    waves = [np.sin(x / 7 + y / 11), np.cos(x / 5 - y / 13), np.sin((x - 90) * (y - 110) / 900)]
    pattern = np.rint(127.5 + 127.5 * np.stack(waves, axis=-1)).astype(np.uint8)
    five = np.array([[70, 80], [120, 90], [95, 110], [70, 130], [110, 138]], dtype=np.float32)
    seen = np.round(recognizer.embed([pattern], [five])[0].astype(np.float64), 2) + 0.0  # no negative zero
    return key_of(recognizer.name, recognizer.digest, seen.tobytes())


def detector_fingerprint(detector: Detector) -> str:
    """What a detector is: what it finds, to the pixel, in a picture made for it, hex."""
    found = detector.detect(many_faces())
    rows = [[*face.box, *face.landmarks.ravel()] for face in sorted(found, key=lambda face: face.box)]
    return key_of(json.dumps([[round(float(value)) for value in row] for row in rows]))


class _Seen(Protocol):
    """A face of any detector."""

    @property
    def box(self) -> Box: ...
    @property
    def score(self) -> float: ...


_FINGERPRINTS: WeakKeyDictionary[object, str] = WeakKeyDictionary()


def _once(part: object, find: Callable[[], str]) -> str:
    """The fingerprint of a detector or recognizer, found once as long as it lives."""
    if part not in _FINGERPRINTS:
        _FINGERPRINTS[part] = find()
    return _FINGERPRINTS[part]


S = TypeVar("S", bound=_Seen)


def face_at(faces: Sequence[S], place: Box) -> S | None:
    """The face found where the original was: of those in that place the one that covers it most."""
    near = [face for face in faces if overlap(face.box, place) >= _SAME_PLACE and _similar_size(face.box, place)]
    return max(near, key=lambda face: overlap(face.box, place) * face.score, default=None)


def _similar_size(one: Box, two: Box) -> bool:
    """Widths within a factor of two: a nostril inside the place is not the face."""
    ratio = (one[2] - one[0]) / max(two[2] - two[0], 1e-9)
    return 0.5 <= ratio <= 2.0


def _pack(faces: list[Detection], width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    np.savez(
        buffer,
        size=np.array([width, height]),
        boxes=np.array([face.box for face in faces], dtype=np.float64).reshape(-1, 4),
        scores=np.array([face.score for face in faces], dtype=np.float64),
        landmarks=np.array([face.landmarks for face in faces], dtype=np.float32).reshape(-1, 5, 2),
    )
    return buffer.getvalue()


def _unpack(value: bytes) -> tuple[list[Detection], int, int]:
    stored = np.load(io.BytesIO(value))
    boxes = [cast(Box, tuple(float(v) for v in box)) for box in stored["boxes"]]
    faces = [
        Detection(box, float(score), five)
        for box, score, five in zip(boxes, stored["scores"], stored["landmarks"], strict=True)
    ]
    return faces, int(stored["size"][0]), int(stored["size"][1])
