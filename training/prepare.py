"""Training data: every shard of labelled or unlabelled pictures becomes a shard of aligned faces.

A prepared shard `<name>.tar` holds `<key>.jpg` crops in order; `<name>.npz` beside it holds, row for row, `key`,
`identity` ("" where unknown), `landmarks` (N, 5, 2) in crop pixels, and the guiding recognizer's `embedding` (N, d).
"""

import io
import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from cfanet.align import crop_points, similarity_transform, transform_points, warp
from cfanet.errors import InputError, PictureError
from cfanet.images import decode
from cfanet.records import Detection, Detector, ImageArray, Recognizer

CROP_SIZE = 128
JPEG_QUALITY = 94
_MIN_SCORE = 0.9  # clearer faces only: a wrong crop teaches nothing
_MIN_FACE_PX = 48


@dataclass(frozen=True, eq=False)
class TrainingFace:
    """One aligned face."""

    key: str
    identity: str
    crop: ImageArray  # (CROP_SIZE, CROP_SIZE, 3) uint8 RGB
    landmarks: np.ndarray  # (5, 2) float32, crop pixels
    embedding: np.ndarray  # (d,) float32 unit-norm


def main_face(faces: list[Detection], width: int, height: int) -> Detection | None:
    """The large, clear face nearest to the middle: the one a dataset's identity label speaks of."""
    clear = [f for f in faces if f.score >= _MIN_SCORE and f.box[2] - f.box[0] >= _MIN_FACE_PX]

    def distance(face: Detection) -> float:
        x, y = (face.box[0] + face.box[2]) / 2 - width / 2, (face.box[1] + face.box[3]) / 2 - height / 2
        return float(np.hypot(x, y)) / (face.box[2] - face.box[0])

    return min(clear, key=distance, default=None)


def read_pictures(shard: Path) -> Iterator[tuple[str, bytes, str]]:
    """Yield (key, image bytes, identity) of a WebDataset shard whose samples are `.jpg` with an optional `.json`."""
    images: dict[str, bytes] = {}
    labels: dict[str, str] = {}
    with tarfile.open(shard) as tar:
        for member in tar:
            key, _, extension = member.name.rpartition(".")
            file = tar.extractfile(member)
            if file is None:
                continue
            if extension.lower() in {"jpg", "jpeg", "png", "webp"}:
                images[key] = file.read()
            elif extension == "json":
                labels[key] = str(json.loads(file.read()).get("identity", ""))
    if not images:
        raise InputError(f"{shard} holds no pictures: give WebDataset shards with .jpg members")
    for key, data in images.items():
        yield key, data, labels.get(key, "")


def prepare_shard(source: Path, destination: Path, detector: Detector, recognizer: Recognizer) -> int:
    """Write the aligned faces of one shard; returns how many. Atomic: whole files under final names, or nothing."""
    faces = []
    for key, data, identity in read_pictures(source):
        try:
            pixels = decode(data, max_megapixels=64).pixels
            face = main_face(detector.detect(pixels), pixels.shape[1], pixels.shape[0])
        except PictureError:
            continue
        if face is not None:
            faces.append(_align(key, identity, pixels, face, recognizer))
    destination.mkdir(parents=True, exist_ok=True)
    write_tar(destination / source.name, faces)
    write_index(destination / f"{source.stem}.npz", faces)
    return len(faces)


def _align(key: str, identity: str, pixels: ImageArray, face: Detection, recognizer: Recognizer) -> TrainingFace:
    matrix = similarity_transform(face.landmarks, crop_points(CROP_SIZE))
    crop = warp(pixels, matrix, (CROP_SIZE, CROP_SIZE))[0].permute(1, 2, 0)
    as_bytes = ((crop + 1.0) * 127.5).round().clamp(0, 255).byte().numpy()
    return TrainingFace(
        key,
        identity,
        as_bytes,
        transform_points(matrix, face.landmarks).astype(np.float32),
        recognizer.embed([pixels], [face.landmarks])[0],
    )


def write_tar(path: Path, faces: list[TrainingFace]) -> None:
    """Write the crops as `<key>.jpg`, atomically."""
    part = path.with_suffix(".part")
    with tarfile.open(part, "w") as tar:
        for face in faces:
            buffer = io.BytesIO()
            Image.fromarray(face.crop).save(buffer, "JPEG", quality=JPEG_QUALITY)
            member = tarfile.TarInfo(f"{face.key}.jpg")
            member.size = buffer.tell()
            buffer.seek(0)
            tar.addfile(member, buffer)
    os.replace(part, path)


def write_index(path: Path, faces: list[TrainingFace]) -> None:
    """Write keys, identities, landmarks and embeddings row for row, atomically."""
    part = path.with_suffix(".npz.part")
    with part.open("wb") as file:
        np.savez(
            file,
            key=np.array([f.key for f in faces]),
            identity=np.array([f.identity for f in faces]),
            landmarks=np.stack([f.landmarks for f in faces]),
            embedding=np.stack([f.embedding for f in faces]),
        )
    os.replace(part, path)
