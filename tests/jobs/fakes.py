"""Stand-ins with known answers: a face is a red square, its shade of green is the person, blue means replaced."""

import hashlib
import io
import tarfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from audit.second_detector import NoSecondDetector, SecondDetector
from cfanet.assigned import Assigned, Chosen, Target
from cfanet.records import (
    Comparison,
    Detection,
    Detector,
    Embeddings,
    Excused,
    FaceDecision,
    FaceRecord,
    ImageArray,
    ImageResult,
    ImageStatus,
    Landmarks,
    Recognizer,
)
from cfanet.search import References
from cfanet.seeds import SeedKey
from jobs.config import ReleaseConfig
from jobs.tools import PictureAnonymizer

FACE = 24  # side of a face, pixels
_SLOT = 40  # one face every so many pixels
POISON = 7  # a shade that makes the fake anonymizer fail
KILLER = 13  # a shade that makes it kill its process
COVER = 20  # grey of an obscured face: like no person
HIDDEN = 50  # a shade the detector sees only once the picture was re-encoded


def picture(shades: Sequence[int] = (), width: int = 200, height: int = 64) -> ImageArray:
    """A grey picture with a red square for each shade of green, left to right."""
    pixels = np.full((height, width, 3), 128, np.uint8)
    for number, shade in enumerate(shades):
        left = 8 + number * _SLOT
        pixels[16 : 16 + FACE, left : left + FACE] = (230, 4 * shade, 60)
    return pixels


def encoded(shades: Sequence[int] = (), format: str = "PNG", **options: object) -> bytes:
    """The same as a file."""
    buffer = io.BytesIO()
    Image.fromarray(picture(shades)).save(buffer, format, **options)
    return buffer.getvalue()


def write_tar(path: Path, members: Sequence[tuple[str, bytes]], mtime: float = 1_600_000_000) -> None:
    """A tar shard with these members in this order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in members:
            header = tarfile.TarInfo(name)
            header.size, header.mtime, header.mode = len(data), mtime, 0o640
            archive.addfile(header, io.BytesIO(data))


def read_tar(path: Path) -> dict[str, bytes]:
    """Members of a tar by name, in order; a name that appears twice fails."""
    found: dict[str, bytes] = {}
    with tarfile.open(path) as archive:
        for header in archive:
            file = archive.extractfile(header)
            assert header.name not in found and file is not None
            found[header.name] = file.read()
    return found


class FakeDetector:
    """Finds red squares."""

    name = "fake"

    def __init__(self, sees_hidden: bool = False) -> None:
        self._sees_hidden = sees_hidden

    def detect(self, image: ImageArray) -> list[Detection]:
        faces = []
        for left in range(8, image.shape[1] - FACE, _SLOT):
            middle = image[28, left + FACE // 2].astype(int) if image.shape[0] > 28 else np.zeros(3)
            red = middle[0] - middle[2] > 100
            if red and (self._sees_hidden or round(middle[1] / 4) != HIDDEN):
                faces.append(Detection((left, 16, left + FACE, 16 + FACE), 0.99, _points(left)))
        return faces

    def detect_every(self, image: ImageArray, excused: Excused | None = None) -> list[Detection]:
        return self.detect(image)


class FakeRecognizer:
    """The colour in the middle of a face, as a unit vector."""

    dim = 3

    def __init__(self, name: str) -> None:
        self.name = name
        self.digest = hashlib.sha256(name.encode()).hexdigest()

    def embed(self, images: Sequence[ImageArray], landmarks: Sequence[Landmarks]) -> Embeddings:
        rows = np.zeros((len(images), 3), np.float32)
        for row, image, points in zip(rows, images, landmarks, strict=True):
            x, y = points[2].astype(int)
            vector = image[y, x].astype(np.float32) - 100.0
            row[:] = vector / np.linalg.norm(vector)
        return rows

    def threshold(self, fmr: float) -> float:
        return 0.5


class FakeAnonymizer:
    """Paints faces blue; how blue depends on the key, the sample and the face."""

    model_digest = "a" * 64

    def __init__(self, key: SeedKey, galleries: Mapping[str, References]) -> None:
        self._key = key
        self._galleries = galleries
        self.loop_recognizers: Mapping[str, Recognizer] = {"fake-loop": FakeRecognizer("fake-loop")}

    def run(
        self,
        images: Sequence[ImageArray],
        ids: Sequence[str],
        detections: Sequence[list[Detection]] | None = None,
        named: Sequence[Mapping[int, str]] | None = None,
    ) -> list[ImageResult]:
        found = detections if detections is not None else [FakeDetector().detect(image) for image in images]
        assert not self.loop_recognizers or set(self._galleries) == {"fake-loop"}
        return [self._one(*entry) for entry in zip(images, ids, found, named or [{} for _ in images], strict=True)]

    def _one(self, image: ImageArray, name: str, faces: list[Detection], named: Mapping[int, str]) -> ImageResult:
        if not faces:
            return ImageResult(name, ImageStatus.NO_FACE, "", image.copy())
        result, records = image.copy(), []
        for index, face in enumerate(faces):
            left, top, right, bottom = (int(value) for value in face.box)
            shade = round(int(image[28, left + FACE // 2, 1]) / 4)
            if shade == POISON:
                raise RuntimeError("poison")
            if shade == KILLER:
                import os

                os._exit(1)
            shade = 20 + self._key.digest(name, index, 0)[0] // 4
            result[top:bottom, left:right] = COVER if index in named else (20, shade, 240)
            compared = (Comparison("fake-loop", "mated", "original", -0.9, 154.0, 0.5),)
            records.append(
                FaceRecord(
                    index,
                    face.box,
                    "fake",
                    face.score,
                    "mask" if index in named else "cfa",
                    FaceDecision.OBSCURED if index in named else FaceDecision.REPLACED,
                    1,
                    90.0,
                    91.5,
                    self._key.seed_id(name, index),
                    compared,
                    named.get(index, ""),
                )
            )
        status = ImageStatus.OBSCURED if named else ImageStatus.ANONYMIZED
        return ImageResult(name, status, "", result, tuple(records))

    def choose(self, images: Sequence[ImageArray], detections: Sequence[Detection], name: str, index: int) -> Chosen:
        shade = torch.tensor([float(self._key.digest(name, index, 0)[0] // 4)])
        return Chosen(self.seed_id(name, index), (Target(90.0, shade),))

    def run_assigned(self, image: ImageArray, name: str, assigned: Sequence[Assigned]) -> ImageResult:
        result, records = image.copy(), []
        for face in assigned:
            left, top, right, bottom = (round(value) for value in face.detection.box)
            shade = 20 + int(face.targets[0].vector) if face.targets else 128
            if round(int(image[28, min(left + FACE // 2, image.shape[1] - 1), 1]) / 4) == POISON:
                raise RuntimeError("poison")
            result[max(0, top) : bottom, max(0, left) : right] = (20, shade, 240) if face.targets else COVER
            records.append(
                FaceRecord(
                    face.index,
                    face.detection.box,
                    "fake",
                    face.detection.score,
                    "cfa" if face.targets else "mask",
                    FaceDecision.REPLACED if face.targets else FaceDecision.OBSCURED,
                    1,
                    90.0,
                    91.5,
                    face.seed_id,
                    (Comparison("fake-loop", "mated", "original", -0.9, 154.0, 0.5),),
                    face.refusal,
                )
            )
        status = ImageStatus.ANONYMIZED if records else ImageStatus.NO_FACE
        return ImageResult(name, status, "", result, tuple(records))

    def seed_id(self, name: str, index: int) -> str:
        return self._key.seed_id(name, index)

    def check_released(
        self, original: ImageArray, released: ImageArray, result: ImageResult, moving: bool = False
    ) -> list[Detection]:
        return FakeDetector(sees_hidden=True).detect(released)


class FakeTools:
    """Builds the fakes."""

    def __init__(self, config: ReleaseConfig) -> None:
        self._config = config

    def detector(self) -> Detector:
        return FakeDetector()

    def loop_recognizers(self) -> dict[str, Recognizer]:
        return {"fake-loop": FakeRecognizer("fake-loop")}

    def training_guides(self) -> dict[str, str]:
        return {}

    def judges(self) -> dict[str, Recognizer]:
        return {"fake-judge": FakeRecognizer("fake-judge")}

    def second_detector(self) -> SecondDetector:
        return NoSecondDetector()

    def anonymizer(self, key: SeedKey, galleries: Mapping[str, References]) -> PictureAnonymizer:
        return FakeAnonymizer(key, galleries)


def folder_digest(root: Path) -> dict[str, str]:
    """SHA-256 of every file under `root`, except the private records."""
    files = [p for p in sorted(root.rglob("*")) if p.is_file() and "_cfanet" not in p.parts]
    return {p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def _points(left: int) -> Landmarks:
    x, y = left + FACE / 2, 28.0
    return np.array([[x - 6, y - 6], [x + 6, y - 6], [x, y], [x - 5, y + 7], [x + 5, y + 7]], np.float32)


class FakeSlowAnonymizer(FakeAnonymizer):
    """Takes its time."""

    def run(
        self,
        images: Sequence[ImageArray],
        ids: Sequence[str],
        detections: Sequence[list[Detection]] | None = None,
        named: Sequence[Mapping[int, str]] | None = None,
    ) -> list[ImageResult]:
        time.sleep(0.8)
        return super().run(images, ids, detections, named)


class FakeSlowTools(FakeTools):
    """Builds it."""

    def anonymizer(self, key: SeedKey, galleries: Mapping[str, References]) -> PictureAnonymizer:
        return FakeSlowAnonymizer(key, galleries)
