"""Training data: pictures, with names of people or without, become a shard of aligned faces.

A prepared shard `<name>.tar` holds `<key>.jpg` crops in order; `<name>.npz` beside it holds, row for row, `key`,
`identity` ("" where unknown), `landmarks` (N, 5, 2) in crop pixels, the guiding recognizer's `embedding` (N, d), and
`shown`, the share of the crop that the picture shows (which shards of earlier versions lack).
This module makes the bytes; where pictures come from and shards go to is the caller's business.
"""

import hashlib
import io
import tarfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from PIL import Image
from pydantic import Field, ValidationError

from cfanet.align import Matrix, crop_points, invert, similarity_transform, transform_points, warp
from cfanet.boxes import iou
from cfanet.config import DetectorSettings, Section
from cfanet.detect import MTCNNDetector
from cfanet.errors import ConfigError, PictureError
from cfanet.images import decode
from cfanet.recognizers import load_recognizer
from cfanet.records import Detection, Detector, ImageArray, Recognizer

CROP_SIZE: Final = 128
JPEG_QUALITY = 94
MIN_SCORE = 0.9  # clearer faces only: a wrong crop teaches nothing
_ONE_PLACE = 0.35  # intersection over union from which two boxes are of one face
MIN_FACE_PX = 48.0
_MAX_MEGAPIXELS = 64.0
_PROBES = 32  # points on a line at which it is asked whether the picture shows the crop
_HALF = 0.5
_MIDDLE = slice(28, 100)  # of 128: eyes, nose and mouth
_SEARCHED = 0.8  # smallest face looked for, as a share of the smallest face wanted: its box is only an estimate


class PrepareSettings(Section):
    """Which faces become training data, and how large."""

    crop_size: Literal[128, 256, 512] = Field(CROP_SIZE, description="side of a crop, pixels")
    min_face_px: float = Field(MIN_FACE_PX, ge=10.0, le=2048.0, description="width of the detector's box")
    min_score: float = Field(MIN_SCORE, ge=0.5, lt=1.0, description="the detector's confidence")
    min_sharpness: float = Field(20.0, ge=0.0, description="see `sharpness`")
    min_shown: float = Field(0.0, ge=0.0, le=1.0, description="share of the crop that the picture shows")
    max_enlargement: float = Field(2.0, ge=1.0, description="crop pixels per picture pixel along a line")

    @property
    def detector(self) -> DetectorSettings:
        """What is looked for: whole faces that are large enough. One that the border cuts teaches nothing."""
        smallest = min(512, max(8, int(_SEARCHED * self.min_face_px)))
        return DetectorSettings(min_face_px=smallest, cut_faces=False)


def load_limits(**values: float) -> PrepareSettings:
    """The settings with these values; ConfigError names the first wrong one."""
    try:
        return PrepareSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"{first['loc'][0]} {first['input']!r} is not valid: {first['msg'].lower()}") from error


@dataclass(frozen=True, eq=False)
class TrainingFace:
    """One aligned face."""

    key: str
    identity: str
    crop: ImageArray  # (S, S, 3) uint8 RGB, S the crop size
    landmarks: np.ndarray  # (5, 2) float32, crop pixels
    embedding: np.ndarray  # (d,) float32 unit-norm
    shown: float = 1.0  # share of the crop that the picture shows; the rest repeats the picture's border
    scale: float = 1.0  # crop pixels per picture pixel along a line


@dataclass(frozen=True, eq=False)
class PreparedFaces:
    """What became of the pictures of one shard."""

    faces: tuple[TrainingFace, ...]
    pictures: int
    left_out: Mapping[str, int]  # pictures by reason

    @property
    def notes(self) -> Mapping[str, int]:
        """Crops with more pixels than the picture had, and crops of which the picture shows less than half."""
        enlarged = sum(face.scale > 1.0 for face in self.faces)
        return {"enlarged": enlarged, "mostly_border": sum(face.shown < _HALF for face in self.faces)}

    @property
    def people(self) -> Mapping[str, int]:
        """Faces by identity; "" counts those without one."""
        return Counter(face.identity for face in self.faces)

    def files(self) -> dict[str, bytes]:
        """The shard's files by extension; none where no face was kept."""
        return {".tar": tar_bytes(self.faces), ".npz": index_bytes(self.faces)} if self.faces else {}


class Preparer:
    """Turns pictures into training faces: detect, choose, align, filter, embed."""

    def __init__(self, settings: PrepareSettings, detector: Detector, guide: Recognizer) -> None:
        """`guide` is the recognizer R_id that will guide the training."""
        self._settings, self._detector, self._guide = settings, detector, guide

    @property
    def facts(self) -> Mapping[str, str]:
        """Everything that a shard depends on besides its pictures: shards of one folder must agree on it."""
        values = {name: str(value) for name, value in self._settings.model_dump(mode="json").items()}
        alignment = hashlib.sha256(crop_points(CROP_SIZE).round(2).tobytes()).hexdigest()[:16]
        return {**values, "alignment": alignment, "guide": self._guide.name, "guide SHA-256": self._guide.digest}

    def prepare(self, pictures: Iterable[tuple[str, bytes, str]]) -> PreparedFaces:
        """Prepare the main face of each (key, image file, identity), in order."""
        faces: list[TrainingFace] = []
        left_out: Counter[str] = Counter()
        count = 0
        for key, data, identity in pictures:
            count += 1
            try:
                faces.append(self._face(key, data, identity))
            except PictureError as error:
                left_out[error.reason] += 1
        return PreparedFaces(tuple(faces), count, left_out)

    def _face(self, key: str, data: bytes, identity: str) -> TrainingFace:
        """The main face of one picture; PictureError with the reason why there is none."""
        limits = self._settings
        pixels = decode(data, _MAX_MEGAPIXELS).pixels
        faces = self._detector.detect(pixels)
        face = main_face(faces, pixels.shape[1], pixels.shape[0], limits.min_score, limits.min_face_px)
        if face is None:
            raise _no_face(faces, limits.min_score)
        try:
            matrix = similarity_transform(face.landmarks, crop_points(limits.crop_size))
        except ValueError as error:
            raise PictureError("no_landmarks", str(error)) from error
        scale = float(np.hypot(*matrix[:, 0]))
        if scale > limits.max_enlargement:
            raise PictureError("small_for_crop", f"its crop would be enlarged {scale:.2f} times")
        shown = shown_share(matrix, limits.crop_size, pixels.shape[1], pixels.shape[0])
        if shown < limits.min_shown:
            raise PictureError("outside_picture", f"the picture shows {shown:.2f} of its crop")
        crop = warp(pixels, matrix, (limits.crop_size, limits.crop_size))[0].permute(1, 2, 0)
        as_bytes = ((crop + 1.0) * 127.5).round().clamp(0, 255).byte().numpy()
        if sharpness(as_bytes) < limits.min_sharpness:
            raise PictureError("blurred", f"its sharpness is {sharpness(as_bytes):.1f}")
        landmarks = transform_points(matrix, face.landmarks).astype(np.float32)
        embedding = self._guide.embed([pixels], [face.landmarks])[0]
        return TrainingFace(key, identity, as_bytes, landmarks, embedding, shown, scale)


def build_preparer(settings: PrepareSettings, guide: str, device: str = "cpu") -> Preparer:
    """The real parts; ConfigError or WeightsError says what is wrong with `guide`."""
    return Preparer(settings, MTCNNDetector(settings.detector, device), load_recognizer(guide, device))


def main_face(
    faces: Sequence[Detection],
    width: int,
    height: int,
    min_score: float = MIN_SCORE,
    min_face_px: float = MIN_FACE_PX,
) -> Detection | None:
    """The large, clear face nearest to the middle: the one a dataset's identity label speaks of.

    Of boxes that two people could not have at once, the clearest counts: the others lie across it and a neighbour.
    """
    large = [f for f in faces if f.score >= min_score and f.box[2] - f.box[0] >= min_face_px]
    clear: list[Detection] = []
    for face in sorted(large, key=lambda face: -face.score):
        if all(iou(face.box, other.box) < _ONE_PLACE for other in clear):
            clear.append(face)

    def distance(face: Detection) -> float:
        x, y = (face.box[0] + face.box[2]) / 2 - width / 2, (face.box[1] + face.box[3]) / 2 - height / 2
        return float(np.hypot(x, y)) / (face.box[2] - face.box[0])

    return min(clear, key=distance, default=None)


def _no_face(faces: Sequence[Detection], min_score: float) -> PictureError:
    if not faces:
        return PictureError("no_face", "no face was found")
    if all(face.score < min_score for face in faces):
        return PictureError("unclear_face", f"no face has a score of {min_score:g}")
    return PictureError("small_face", "no clear face is large enough")


def shown_share(matrix: Matrix, size: int, width: int, height: int) -> float:
    """Share of a crop's pixels, in [0, 1], that lie in a picture of width × height; `matrix` maps picture to crop."""
    line = np.linspace(0, size - 1, _PROBES)
    x, y = transform_points(invert(matrix), np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)).T
    return float(((x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)).mean())


def sharpness(crop: ImageArray) -> float:
    """Variance of the Laplacian of the luminance, in squared grey levels, in the middle of the crop, at 128 px.

    So it is comparable over crop sizes, and says nothing about what lies around the face. (S, S, 3) uint8 RGB, S a
    multiple of 128.
    """
    grey = np.asarray(Image.fromarray(crop).convert("L"), dtype=np.float32)
    step = len(grey) // CROP_SIZE
    grey = grey.reshape(CROP_SIZE, step, CROP_SIZE, step).mean(axis=(1, 3))
    grey = grey[_MIDDLE, _MIDDLE]
    middle = grey[1:-1, 1:-1]
    return float((grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4.0 * middle).var())


def tar_bytes(faces: Sequence[TrainingFace]) -> bytes:
    """The crops as `<key>.jpg` in a tar file; equal faces give equal bytes."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as tar:
        for face in faces:
            buffer = io.BytesIO()
            Image.fromarray(face.crop).save(buffer, "JPEG", quality=JPEG_QUALITY)
            member = tarfile.TarInfo(f"{face.key}.jpg")
            member.size = buffer.tell()
            buffer.seek(0)
            tar.addfile(member, buffer)
    return whole.getvalue()


def index_bytes(faces: Sequence[TrainingFace]) -> bytes:
    """Keys, identities, landmarks and embeddings, row for row, as an .npz file; equal faces give equal bytes."""
    whole = io.BytesIO()
    np.savez(
        whole,
        key=np.array([f.key for f in faces]),
        identity=np.array([f.identity for f in faces]),
        landmarks=np.stack([f.landmarks for f in faces]),
        embedding=np.stack([f.embedding for f in faces]),
        shown=np.array([f.shown for f in faces], dtype=np.float32),
    )
    return whole.getvalue()
