"""The anonymizer: pictures and their faces in, pictures with other people's faces and a record of each out.

Closed loop: every new face is pasted, looked at by the loop's recognizers, and moved again (further, another way)
until none of them sees the original or anyone of the gallery in it; what never passes is obscured or withheld.
Fail closed: a face that cannot be processed is never passed through.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from cfanet.align import crop_points, similarity_transform, transform_points, warp
from cfanet.assigned import Assigned, Chosen, Target
from cfanet.borrowed import FaceSource, face_source
from cfanet.common_identity import common_identity
from cfanet.config import AnonymizeSettings
from cfanet.covers import compose, cover_of
from cfanet.detect import MTCNNDetector
from cfanet.face import Face, known, unjudged, unreplaceable
from cfanet.hypersphere import normalise
from cfanet.identity import (
    IDENTITY_BRANCH,
    Crowd,
    IdentityBranch,
    IdentityPolicy,
    angle_of_attempt,
    directions,
    propose,
)
from cfanet.loop_checks import LoopChecks
from cfanet.new_faces import NewFaces
from cfanet.paste import Patch, sharpness_at
from cfanet.recognizers import load_recognizer
from cfanet.records import (
    Detection,
    Detector,
    FaceDecision,
    FaceRecord,
    ImageArray,
    ImageResult,
    ImageStatus,
    Recognizer,
)
from cfanet.search import References
from cfanet.seeds import SeedKey
from cfanet.unchanged import unchanged_faces
from cfanet.weights import TrainedGenerator, load_generator


@dataclass(frozen=True, eq=False)
class Parts:
    """What the anonymizer is made of; all injected."""

    settings: AnonymizeSettings
    key: SeedKey
    detector: Detector
    generator: TrainedGenerator | None  # of cfa; None for the others
    recognizers: Mapping[str, Recognizer]  # the loop's
    galleries: Mapping[str, References]  # by recognizer; may be empty
    device: str = "cpu"
    borrowed: FaceSource | None = None  # of the methods that borrow faces


class Anonymizer:
    """Replaces every face of the pictures it is given; stateless between calls."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._settings = parts.settings
        self._checks = LoopChecks(parts.settings.loop, parts.recognizers, parts.galleries)
        self._cover = cover_of(parts.settings)
        self._made = NewFaces(parts.generator, parts.settings, parts.device) if parts.generator is not None else None

    @property
    def model_digest(self) -> str:
        """SHA-256 of the generator, or of the method's name and what it borrows from."""
        if self._parts.generator is not None:
            return self._parts.generator.digest
        if self._parts.borrowed is not None:
            return hashlib.sha256(f"{self._settings.method}:{self._parts.borrowed.digest}".encode()).hexdigest()
        return hashlib.sha256(self._settings.method.encode()).hexdigest()

    @property
    def loop_recognizers(self) -> Mapping[str, Recognizer]:
        """The recognizers that check each new face, by name."""
        return self._parts.recognizers

    @torch.inference_mode()
    def run(
        self,
        images: Sequence[ImageArray],
        ids: Sequence[str],
        detections: Sequence[list[Detection]] | None = None,
        named: Sequence[Mapping[int, str]] | None = None,
    ) -> list[ImageResult]:
        """Anonymize pictures; one result each, in order.

        `images` are (H, W, 3) uint8 RGB and are not changed, `ids` name them (the randomness of a face depends on its
        picture's id), `detections` are known faces; without them the detector looks. `named` are faces of each picture
        that get no new face whatever the loop would say, by index, and why. A picture's result does not depend on the
        other pictures, on their order or on their number. PictureError when the detector fails.
        """
        found = detections if detections is not None else [self._parts.detector.detect(image) for image in images]
        refusals = named if named is not None else [{} for _ in images]
        faces = [
            Face(
                picture,
                index,
                detection,
                self._parts.key.seed_id(ids[picture], index),
                refusals[picture].get(index, ""),
            )
            for picture, several in enumerate(found)
            for index, detection in enumerate(several)
        ]
        if self._settings.method == "cfa":
            self._encode(faces, images)
            self._replace(faces, images, ids)
        elif self._parts.borrowed is not None:
            self._borrow([face for face in faces if not face.refusal], images, ids)
        grouped: list[list[Face]] = [[] for _ in images]
        for face in faces:
            grouped[face.picture].append(face)
        return [self._finish(*entry) for entry in zip(images, ids, grouped, strict=True)]

    @torch.inference_mode()
    def choose(self, images: Sequence[ImageArray], detections: Sequence[Detection], name: str, index: int) -> Chosen:
        """One new identity for a person of whom several (H, W, 3) uint8 RGB pictures are given, with one face each.

        Its origin is the mean of the person's identity vectors. Of the first attempt's identities that pass in every
        picture it is the one that changes a face least; where none ever does, one that passes in most.
        """
        seed_id = self.seed_id(name, index)
        if self._settings.method != "cfa":
            return Chosen(seed_id, ())
        faces = [Face(n, index, detection, seed_id) for n, detection in enumerate(detections)]
        self._encode(faces, images)
        able = [face for face in faces if face.z_id is not None]
        if not able:
            return Chosen(seed_id, (), faces[0].refusal)
        origin, key = normalise(torch.stack([known(face.z_id) for face in able]).mean(0)), self._parts.key
        count = self._settings.loop.candidates
        tried = directions(origin, self._policy, self._angles(), count, lambda n: key.generator(name, index, n))
        made = known(self._made)
        made.prepare(able, images)
        found = common_identity(able, images, tried, made, self._checks)
        if found is None:
            return Chosen(seed_id, (), "did not pass the loop in any sampled frame")
        return Chosen(seed_id, found.targets, softened=found.softened)

    @torch.inference_mode()
    def run_assigned(self, image: ImageArray, name: str, assigned: Sequence[Assigned]) -> ImageResult:
        """Give the faces of one (H, W, 3) uint8 RGB picture the identities chosen for them; the loop judges as ever."""
        faces = [Face(0, one.index, one.detection, one.seed_id, one.refusal) for one in assigned]
        targets = {one.index: one.targets for one in assigned}
        if self._settings.method == "cfa":
            able = [face for face in faces if targets[face.index]]
            for face, one in zip(faces, assigned, strict=True):
                face.structured = self._settings.loop.soften_after if one.softened else 0
            self._encode(able, [image])
            self._try(able, [image], lambda face, attempt: targets[face.index][attempt : attempt + 1], moving=True)
        elif self._parts.borrowed is not None:
            able = [face for face in faces if not face.refusal]
            self._borrow(able, [image], [assigned[0].video] if assigned else [name])
        return self._finish(image, name, faces)

    def seed_id(self, name: str, index: int) -> str:
        """Name of the seed of a face or a track in the ledger."""
        return self._parts.key.seed_id(name, index)

    def check_released(
        self, original: ImageArray, released: ImageArray, result: ImageResult, moving: bool = False
    ) -> list[Detection]:
        """Look at what would be released: faces in it that lie in no replaced one, or whose pixels are as they were.

        An empty list means the picture may go. Both pictures (H, W, 3) uint8 RGB of the same size; `moving`: they are
        frames of a video, whose encoder changes more.
        """
        replaced = [face.box for face in result.faces]
        return unchanged_faces(self._parts.detector, original, released, replaced, moving)

    def _align(self, faces: list[Face], images: Sequence[ImageArray], size: int) -> list[Face]:
        """The faces that can be replaced, each with its matrix onto a crop of `size` pixels."""
        for face in faces:
            height, width = images[face.picture].shape[:2]
            if why := unjudged(face.box, height, width, self._settings):
                face.refusal = why
                continue
            try:
                face.matrix = similarity_transform(face.detection.landmarks, crop_points(size))
            except ValueError:
                face.refusal = "no alignment"
                continue
        return [face for face in faces if face.matrix is not None]

    def _borrow(self, faces: list[Face], images: Sequence[ImageArray], ids: Sequence[str]) -> None:
        """Give every face one of the borrowed ones, at once and unseen: these methods have no loop."""
        source = known(self._parts.borrowed)
        for face in self._align(faces, images, source.size):
            matrix = known(face.matrix)
            crop = warp(images[face.picture], matrix, (source.size, source.size))
            points = torch.from_numpy(transform_points(matrix, face.detection.landmarks)).float()
            rng = self._parts.key.generator(ids[face.picture], face.index, 0)
            sharpness = sharpness_at(images[face.picture], matrix, source.size)
            face.attempts, face.patch = 1, Patch(source.face(crop, points, rng), matrix, sharpness)

    def _encode(self, faces: list[Face], images: Sequence[ImageArray]) -> None:
        """Align every face and take its content, its identity vector and the recognizers' view of it."""
        made = known(self._made)
        aligned = self._align(faces, images, made.size)
        made.encode(aligned, images)
        self._checks.look_at_originals(aligned, images)

    def _replace(self, faces: list[Face], images: Sequence[ImageArray], ids: Sequence[str]) -> None:
        """The closed loop: every face has identities of its own."""
        loop = self._settings.loop
        for face in faces:
            height, width = images[face.picture].shape[:2]
            face.refusal = face.refusal or unreplaceable(face.detection, height, width, self._settings)

        def candidates(face: Face, attempt: int) -> list[Target]:
            if attempt >= loop.max_attempts:
                return []
            rng = self._parts.key.generator(ids[face.picture], face.index, attempt)
            angle = angle_of_attempt(loop, self._settings.angle_deg, face.shown)
            new = (propose(known(face.z_id), policy, angle, rng) for _ in range(loop.candidates))
            return [Target(angle, vector) for vector in new]

        policy = self._policy
        self._try(faces, images, candidates)

    @cached_property
    def _policy(self) -> IdentityPolicy:
        """Which way new identities lie; galleries may be filled after the anonymizer was made."""
        everyone = self._parts.galleries.get(IDENTITY_BRANCH)
        crowd = Crowd.of(everyone, self._settings.loop.draws) if everyone is not None and everyone.ids else None
        return IdentityPolicy.of(known(self._parts.generator), self._settings, crowd)

    def _angles(self) -> list[float]:
        loop = self._settings.loop
        return [angle_of_attempt(loop, self._settings.angle_deg, attempt) for attempt in range(loop.max_attempts)]

    def _try(
        self,
        faces: list[Face],
        images: Sequence[ImageArray],
        candidates: Callable[[Face, int], Sequence[Target]],
        moving: bool = False,
    ) -> None:
        """Give every face the candidates of attempt after attempt until one passes or there are none.

        Of those that pass in an attempt, the one that changes the face least is taken.
        """
        pending = [face for face in faces if not face.refusal]
        made = known(self._made)
        made.prepare(pending, images)
        attempt = 0
        while pending:
            found = [(face, targets) for face in pending if (targets := candidates(face, attempt))]
            patches = made.patches([(face, [target.vector for target in targets]) for face, targets in found])
            attempt += 1
            for (face, targets), several in zip(found, patches, strict=True):
                face.attempts, face.requested_deg = attempt, targets[0].angle_deg
                face.patch = self._checks.choose(face, several, images[face.picture], moving)
            pending = [face for face, _ in found if face.patch is None]

    def _finish(self, image: ImageArray, name: str, faces: list[Face]) -> ImageResult:
        """Put the accepted faces in, obscure the others, and say what was done."""
        if not faces:
            return ImageResult(name, ImageStatus.NO_FACE, "", image.copy())
        failed = [face for face in faces if face.patch is None]
        if failed and self._settings.method == "cfa" and self._settings.loop.on_failure == "quarantine":
            records = tuple(self._record(face, FaceDecision.WITHHELD) for face in faces)
            detail = f"{len(failed)} of {len(faces)} faces did not pass the loop"
            return ImageResult(name, ImageStatus.QUARANTINED, detail, None, records)
        result = compose(image, faces, self._cover, self._checks.can_be_told)
        records = tuple(
            self._record(face, FaceDecision.REPLACED if face.patch is not None else FaceDecision.OBSCURED)
            for face in faces
        )
        status = ImageStatus.OBSCURED if failed else ImageStatus.ANONYMIZED
        detail = f"{len(failed)} of {len(faces)} faces obscured" if failed else ""
        return ImageResult(name, status, detail, result, records)

    def _record(self, face: Face, decision: FaceDecision) -> FaceRecord:
        gave_up = self._replaces and decision != FaceDecision.REPLACED
        return FaceRecord(
            face_index=face.index,
            box=face.box,
            detector=self._parts.detector.name,
            detector_score=face.detection.score,
            method=self._settings.obscurer if gave_up and not face.hidden else self._settings.method,
            decision=decision,
            attempts=face.attempts,
            requested_angle_deg=face.requested_deg,
            measured_angle_deg=face.measured_deg,
            seed_id=face.seed_id,
            comparisons=face.comparisons,
            detail=face.reason if self._replaces else "",
        )

    @property
    def _replaces(self) -> bool:
        """Whether the method gives new faces; the others only obscure."""
        return self._settings.method == "cfa" or self._parts.borrowed is not None


def build_anonymizer(
    settings: AnonymizeSettings, key: SeedKey, galleries: Mapping[str, References], device: str = "cpu"
) -> Anonymizer:
    """Load what the settings name and put it together; WeightsError or ConfigError says what cannot be loaded."""
    generator = load_generator(settings.generator, device) if settings.method == "cfa" else None
    recognizers: dict[str, Recognizer] = {}
    for spec in settings.loop.recognizers if generator is not None else ():
        own = spec == IDENTITY_BRANCH
        recognizer = IdentityBranch(known(generator), device) if own else load_recognizer(spec, device)
        recognizers[recognizer.name] = recognizer
    detector = MTCNNDetector(settings.detector, device)
    parts = Parts(settings, key, detector, generator, recognizers, galleries, device, face_source(settings))
    return Anonymizer(parts)
