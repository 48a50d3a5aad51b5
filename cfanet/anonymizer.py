"""The anonymizer: pictures and their faces in, pictures with other people's faces and a record of each out.

Closed loop: every new face is pasted, looked at by the loop's recognizers, and moved again (further, another way)
until none of them sees the original or anyone of the gallery in it; what never passes is obscured or withheld.
Fail closed: a face that cannot be processed is never passed through.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from cfanet.align import Matrix, crop_points, similarity_transform, warp
from cfanet.assigned import Assigned, Target
from cfanet.config import AnonymizeSettings
from cfanet.detect import MTCNNDetector
from cfanet.hypersphere import normalise
from cfanet.identity import IDENTITY_BRANCH, IdentityBranch, angle_of_attempt, propose
from cfanet.obscure import ObscureKind, obscure
from cfanet.paste import Patch, paste
from cfanet.recognizers import load_recognizer
from cfanet.records import (
    Box,
    Comparison,
    Detection,
    Detector,
    FaceDecision,
    FaceRecord,
    ImageArray,
    ImageResult,
    ImageStatus,
    Recognizer,
)
from cfanet.search import References, angle_deg, pair_similarity, search
from cfanet.seeds import SeedKey
from cfanet.weights import TrainedGenerator, load_generator

T = TypeVar("T")

_GPU_BATCH = 16
_COVERED = 0.5  # share of a found face that must lie in a replaced one to count as the same face
_UNCHANGED = 4.0  # mean absolute difference, of 255, below which a region is as it was (re-encoding gives 1 to 2)


@dataclass(frozen=True, eq=False)
class Parts:
    """What the anonymizer is made of; all injected."""

    settings: AnonymizeSettings
    key: SeedKey
    detector: Detector
    generator: TrainedGenerator | None  # None for the methods that only obscure
    recognizers: Mapping[str, Recognizer]  # the loop's
    galleries: Mapping[str, References]  # by recognizer; may be empty
    device: str = "cpu"


@dataclass(eq=False)
class _Face:
    """A face under way."""

    picture: int
    index: int
    detection: Detection
    seed_id: str
    refusal: str = ""  # why nothing can be generated for it
    matrix: Matrix | None = None  # None where nothing can be generated
    content: Tensor | None = None
    z_id: Tensor | None = None
    originals: dict[str, np.ndarray] = field(default_factory=dict)
    attempts: int = 0
    requested_deg: float | None = None
    measured_deg: float | None = None
    comparisons: tuple[Comparison, ...] = ()
    patch: Patch | None = None  # the accepted one

    @property
    def box(self) -> Box:
        return self.detection.box


class Anonymizer:
    """Replaces every face of the pictures it is given; stateless between calls."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._settings = parts.settings
        loop = parts.settings.loop
        self._thresholds = {
            name: loop.threshold if loop.threshold is not None else recognizer.threshold(loop.fmr)
            for name, recognizer in parts.recognizers.items()
        }

    @property
    def model_digest(self) -> str:
        """SHA-256 of the generator, or of the obscuring method's name."""
        if self._parts.generator is not None:
            return self._parts.generator.digest
        return hashlib.sha256(self._settings.method.encode()).hexdigest()

    @property
    def loop_recognizers(self) -> Mapping[str, Recognizer]:
        """The recognizers that check each new face, by name."""
        return self._parts.recognizers

    @torch.inference_mode()
    def run(
        self, images: Sequence[ImageArray], ids: Sequence[str], detections: Sequence[list[Detection]] | None = None
    ) -> list[ImageResult]:
        """Anonymize pictures; one result each, in order.

        `images` are (H, W, 3) uint8 RGB and are not changed, `ids` name them (the randomness of a face depends on its
        picture's id), `detections` are known faces; without them the detector looks. A picture's result does not
        depend on the other pictures, on their order or on their number. PictureError when the detector fails.
        """
        found = detections if detections is not None else [self._parts.detector.detect(image) for image in images]
        faces = [
            _Face(picture, index, detection, self._parts.key.seed_id(ids[picture], index))
            for picture, several in enumerate(found)
            for index, detection in enumerate(several)
        ]
        if self._settings.method == "cfa":
            self._encode(faces, images)
            self._replace(faces, images, ids)
        grouped: list[list[_Face]] = [[] for _ in images]
        for face in faces:
            grouped[face.picture].append(face)
        return [self._finish(*entry) for entry in zip(images, ids, grouped, strict=True)]

    @torch.inference_mode()
    def targets(
        self, images: Sequence[ImageArray], detections: Sequence[Detection], name: str, index: int
    ) -> list[tuple[Target, ...]]:
        """New identities for one person of whom several pictures are given, one tuple an attempt at another identity.

        Each tuple begins at the attempt's angle and goes on in the same direction, for pictures that need more. The
        origin is the mean of the person's identity vectors. Empty where no face can be aligned, or nothing generates.
        """
        if self._settings.method != "cfa":
            return []
        faces = [_Face(n, index, detection, "") for n, detection in enumerate(detections)]
        self._encode(faces, images)
        vectors = [face.z_id for face in faces if face.z_id is not None]
        if not vectors:
            return []
        origin, angles = normalise(torch.stack(vectors).mean(0)), self._angles()
        several = []
        for attempt in range(len(angles)):
            found = []
            for angle in sorted(set(angles[attempt:])):
                rng = self._parts.key.generator(name, index, attempt)  # the same each time: the same direction
                found.append(Target(angle, propose(origin, self._generator().spread, angle, rng)))
            several.append(tuple(found))
        return several

    @torch.inference_mode()
    def run_assigned(self, image: ImageArray, name: str, assigned: Sequence[Assigned]) -> ImageResult:
        """Give the faces of one (H, W, 3) uint8 RGB picture the identities chosen for them; the loop judges as ever."""
        faces = [_Face(0, one.index, one.detection, one.seed_id, one.refusal) for one in assigned]
        targets = {one.index: one.targets for one in assigned}
        if self._settings.method == "cfa":
            able = [face for face in faces if targets[face.index]]
            self._encode(able, [image])
            self._try(able, [image], lambda face, attempt: dict(enumerate(targets[face.index])).get(attempt))
        return self._finish(image, name, faces)

    def seed_id(self, name: str, index: int) -> str:
        """Name of the seed of a face or a track in the ledger."""
        return self._parts.key.seed_id(name, index)

    def check_released(self, original: ImageArray, released: ImageArray, result: ImageResult) -> list[Detection]:
        """Look at what would be released: faces in it that lie in no replaced one, or whose pixels are as they were.

        An empty list means the picture may go. Both pictures (H, W, 3) uint8 RGB of the same size.
        """
        boxes = [face.box for face in result.faces]
        left: list[Detection] = []
        for found in self._parts.detector.detect_every(released):
            hidden = any(_covered(found.box, box) >= _COVERED for box in boxes)
            if hidden and _difference(original, released, found.box) >= _UNCHANGED:
                continue
            if not any(_covered(found.box, other.box) >= _COVERED for other in left):
                left.append(found)
        return left

    def _encode(self, faces: list[_Face], images: Sequence[ImageArray]) -> None:
        """Align every face and take its content, its identity vector and the recognizers' view of it."""
        generator = self._generator()
        size = generator.network.config.resolution
        for face in faces:
            if face.box[2] - face.box[0] < self._settings.min_replace_px:
                face.refusal = "too small to be judged"
                continue
            try:
                face.matrix = similarity_transform(face.detection.landmarks, crop_points(size))
            except ValueError:
                face.refusal = "no alignment"
        aligned = [face for face in faces if face.matrix is not None]
        crops = [warp(images[face.picture], _known(face.matrix), (size, size)) for face in aligned]
        for start in range(0, len(aligned), self._batch):
            batch = aligned[start : start + self._batch]
            content, z_id = generator.network.encode(self._stack(crops[start : start + self._batch]))
            for face, code, vector in zip(batch, content, z_id, strict=False):
                face.content, face.z_id = code, vector.cpu()
        for name, recognizer in self._parts.recognizers.items():
            for face in aligned:
                face.originals[name] = recognizer.embed([images[face.picture]], [face.detection.landmarks])[0]

    def _replace(self, faces: list[_Face], images: Sequence[ImageArray], ids: Sequence[str]) -> None:
        """The closed loop: every face has identities of its own."""
        angles = self._angles()

        def target(face: _Face, attempt: int) -> Target | None:
            if attempt >= len(angles):
                return None
            rng = self._parts.key.generator(ids[face.picture], face.index, attempt)
            vector = propose(_known(face.z_id), self._generator().spread, angles[attempt], rng)
            return Target(angles[attempt], vector)

        self._try(faces, images, target)

    def _angles(self) -> list[float]:
        loop = self._settings.loop
        return [angle_of_attempt(loop, self._settings.angle_deg, attempt) for attempt in range(loop.max_attempts)]

    def _try(
        self, faces: list[_Face], images: Sequence[ImageArray], target: Callable[[_Face, int], Target | None]
    ) -> None:
        """Give every face its targets in turn until one passes or none is left."""
        pending = [face for face in faces if face.matrix is not None]
        attempt = 0
        while pending:
            targets = [target(face, attempt) for face in pending]
            pending = [face for face, found in zip(pending, targets, strict=True) if found is not None]
            targets_left = [found for found in targets if found is not None]
            crops = self._decode([_known(face.content) for face in pending], [found.vector for found in targets_left])
            attempt += 1
            for face, found, crop in zip(pending, targets_left, crops, strict=True):
                face.attempts, face.requested_deg = attempt, found.angle_deg
                patch = Patch(crop, _known(face.matrix))
                self._judge(face, paste(images[face.picture], [patch]))
                if all(c.similarity < c.threshold - self._settings.loop.margin for c in face.comparisons):
                    face.patch = patch
            pending = [face for face in pending if face.patch is None]

    def _decode(self, contents: list[Tensor], targets: list[Tensor]) -> list[Tensor]:
        """Decode in batches of a fixed size, so that a face's pixels do not depend on how many there are."""
        crops: list[Tensor] = []
        for start in range(0, len(contents), self._batch):
            content = self._stack([c[None] for c in contents[start : start + self._batch]])
            identity = self._stack([t[None] for t in targets[start : start + self._batch]])
            decoded = self._generator().network.decode(content, identity).float().cpu()
            crops += [crop[None] for crop in decoded[: len(contents) - start]]
        return crops

    def _judge(self, face: _Face, candidate: ImageArray) -> None:
        """Compare the pasted face with its original and with the gallery, by every recognizer of the loop."""
        comparisons: list[Comparison] = []
        for name, recognizer in self._parts.recognizers.items():
            probe = recognizer.embed([candidate], [face.detection.landmarks])
            original = face.originals[name][None]
            angle = float(angle_deg(probe, original)[0])
            threshold = self._thresholds[name]
            similarity = float(pair_similarity(probe, original)[0])
            comparisons.append(Comparison(name, "mated", "original", similarity, angle, threshold))
            if name == IDENTITY_BRANCH:
                face.measured_deg = angle
            references = self._parts.galleries.get(name)
            if references is not None and references.ids:
                scores, positions = search(probe, references, 1)
                best = int(positions[0, 0])
                apart = float(angle_deg(probe, references.embeddings[best][None])[0])
                found = references.ids[best]
                comparisons.append(Comparison(name, "gallery", found, float(scores[0, 0]), apart, threshold))
        face.comparisons = tuple(comparisons)

    def _finish(self, image: ImageArray, name: str, faces: list[_Face]) -> ImageResult:
        """Put the accepted faces in, obscure the others, and say what was done."""
        if not faces:
            return ImageResult(name, ImageStatus.NO_FACE, "", image.copy())
        failed = [face for face in faces if face.patch is None]
        if failed and self._settings.method == "cfa" and self._settings.loop.on_failure == "quarantine":
            records = tuple(self._record(face, FaceDecision.WITHHELD) for face in faces)
            detail = f"{len(failed)} of {len(faces)} faces did not pass the loop"
            return ImageResult(name, ImageStatus.QUARANTINED, detail, None, records)
        result = paste(image, [face.patch for face in faces if face.patch is not None])
        for face in failed:
            result = obscure(result, face.box, self._obscurer)
        records = tuple(
            self._record(face, FaceDecision.REPLACED if face.patch is not None else FaceDecision.OBSCURED)
            for face in faces
        )
        status = ImageStatus.OBSCURED if failed else ImageStatus.ANONYMIZED
        detail = f"{len(failed)} of {len(faces)} faces obscured" if failed else ""
        return ImageResult(name, status, detail, result, records)

    def _record(self, face: _Face, decision: FaceDecision) -> FaceRecord:
        detail = ""
        if decision != FaceDecision.REPLACED and self._settings.method == "cfa":
            detail = face.refusal or "did not pass the loop"
        return FaceRecord(
            face_index=face.index,
            box=face.box,
            detector=self._parts.detector.name,
            detector_score=face.detection.score,
            method=self._settings.method if decision == FaceDecision.REPLACED else self._obscurer,
            decision=decision,
            attempts=face.attempts,
            requested_angle_deg=face.requested_deg,
            measured_angle_deg=face.measured_deg,
            seed_id=face.seed_id,
            comparisons=face.comparisons,
            detail=detail,
        )

    @property
    def _obscurer(self) -> ObscureKind:
        return self._settings.obscurer if self._settings.method == "cfa" else self._settings.method

    @property
    def _batch(self) -> int:
        # On a CPU batching gains nothing and rounding would depend on it; on a GPU the last batch is filled up.
        return 1 if self._parts.device == "cpu" else _GPU_BATCH

    def _stack(self, rows: list[Tensor]) -> Tensor:
        """Concatenate (1, …) tensors and fill up to the fixed batch with zeros."""
        batch = torch.cat([row.to(self._parts.device) for row in rows])
        missing = self._batch - len(batch)
        return torch.cat([batch, batch.new_zeros(missing, *batch.shape[1:])]) if missing > 0 else batch

    def _generator(self) -> TrainedGenerator:
        return _known(self._parts.generator)


def build_anonymizer(
    settings: AnonymizeSettings, key: SeedKey, galleries: Mapping[str, References], device: str = "cpu"
) -> Anonymizer:
    """Load what the settings name and put it together; WeightsError or ConfigError says what cannot be loaded."""
    generator = load_generator(settings.generator, device) if settings.method == "cfa" else None
    recognizers: dict[str, Recognizer] = {}
    for spec in settings.loop.recognizers if generator is not None else ():
        known = IdentityBranch(_known(generator), device) if spec == IDENTITY_BRANCH else load_recognizer(spec, device)
        recognizers[known.name] = known
    detector = MTCNNDetector(settings.detector, device)
    return Anonymizer(Parts(settings, key, detector, generator, recognizers, galleries, device))


def _known(value: T | None) -> T:
    assert value is not None, "asked for before it was computed"
    return value


def _covered(found: Box, replaced: Box) -> float:
    """Share of the box `found` that lies inside `replaced`."""
    width = min(found[2], replaced[2]) - max(found[0], replaced[0])
    height = min(found[3], replaced[3]) - max(found[1], replaced[1])
    area = (found[2] - found[0]) * (found[3] - found[1])
    return max(0.0, width) * max(0.0, height) / max(area, 1e-9)


def _difference(original: ImageArray, released: ImageArray, box: Box) -> float:
    """Mean absolute difference, of 255, inside a box clipped to the picture."""
    left, top = max(0, int(box[0])), max(0, int(box[1]))
    right, bottom = max(left + 1, int(np.ceil(box[2]))), max(top + 1, int(np.ceil(box[3])))
    a = original[top:bottom, left:right].astype(np.float64)
    b = released[top:bottom, left:right].astype(np.float64)
    return float(np.abs(a - b).mean()) if a.size else 255.0
