"""The anonymizer: pictures and their faces in, pictures with other people's faces and a record of each out.

Closed loop: every new face is pasted, looked at by the loop's recognizers, and moved again (further, another way)
until none of them sees the original or anyone of the gallery in it; what never passes is obscured or withheld.
Fail closed: a face that cannot be processed is never passed through.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import torch
from torch import Tensor

from cfanet.align import crop_points, similarity_transform, transform_points, warp
from cfanet.assigned import Assigned, Target
from cfanet.borrowed import FaceSource, face_source
from cfanet.boxes import share_inside
from cfanet.config import AnonymizeSettings
from cfanet.covers import compose, cover_of
from cfanet.detect import MTCNNDetector
from cfanet.face import Face, known
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
from cfanet.landmark_keeper import LandmarkKeeper
from cfanet.loop_checks import LoopChecks
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
from cfanet.structure import soften
from cfanet.unchanged import unchanged_faces
from cfanet.weights import TrainedGenerator, load_generator

_GPU_BATCH = 16


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
        share = parts.settings.keep_landmarks if parts.generator is not None else 0.0
        self._keeper = LandmarkKeeper(share, parts.device) if share else None

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
    def targets(
        self, images: Sequence[ImageArray], detections: Sequence[Detection], name: str, index: int
    ) -> list[tuple[Target, ...]]:
        """New identities for one person of whom several pictures are given, one tuple an attempt at another identity.

        Each tuple begins at the attempt's angle and goes on in the same direction, for pictures that need more. The
        origin is the mean of the person's identity vectors. Empty where no face can be aligned, or nothing generates.
        """
        if self._settings.method != "cfa":
            return []
        faces = [Face(n, index, detection, "") for n, detection in enumerate(detections)]
        self._encode(faces, images)
        vectors = [face.z_id for face in faces if face.z_id is not None]
        if not vectors:
            return []
        origin, key = normalise(torch.stack(vectors).mean(0)), self._parts.key
        return directions(origin, self._policy, self._angles(), lambda n: key.generator(name, index, n))

    @torch.inference_mode()
    def run_assigned(self, image: ImageArray, name: str, assigned: Sequence[Assigned]) -> ImageResult:
        """Give the faces of one (H, W, 3) uint8 RGB picture the identities chosen for them; the loop judges as ever."""
        faces = [Face(0, one.index, one.detection, one.seed_id, one.refusal) for one in assigned]
        targets = {one.index: one.targets for one in assigned}
        if self._settings.method == "cfa":
            able = [face for face in faces if targets[face.index]]
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
            if face.box[2] - face.box[0] < self._settings.min_replace_px:
                face.refusal = "too small to be judged"
                continue
            if share_inside(face.box, *images[face.picture].shape[:2]) < self._settings.min_replace_inside:
                face.refusal = "too much of it outside the picture to be judged"
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
        generator = self._generator()
        size = generator.network.config.resolution
        aligned = self._align(faces, images, size)
        crops = [warp(images[face.picture], known(face.matrix), (size, size)) for face in aligned]
        for start in range(0, len(aligned), self._batch):
            batch = aligned[start : start + self._batch]
            content, z_id = generator.network.encode(self._stack(crops[start : start + self._batch]))
            for face, crop, code, vector in zip(batch, crops[start:], content, z_id, strict=False):
                face.crop, face.content, face.z_id = crop, code, vector.cpu()
        self._checks.look_at_originals(aligned, images)

    def _replace(self, faces: list[Face], images: Sequence[ImageArray], ids: Sequence[str]) -> None:
        """The closed loop: every face has identities of its own."""
        loop, sure = self._settings.loop, self._settings.min_replace_score
        for face in faces:
            if face.detection.score < sure:
                face.refusal = face.refusal or "too uncertain to be judged"

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
        return IdentityPolicy.of(self._generator(), self._settings, crowd)

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
        self._restore(pending)
        size = self._generator().network.config.resolution
        for face in pending:
            face.sharpness = sharpness_at(images[face.picture], known(face.matrix), size)
        attempt = 0
        while pending:
            found = [(face, targets) for face in pending if (targets := candidates(face, attempt))]
            wanted = [(face, target.vector) for face, targets in found for target in targets]
            crops = self._decode(wanted)
            attempt += 1
            for face, targets in found:
                face.attempts, face.requested_deg = attempt, targets[0].angle_deg
                patches = [Patch(next(crops), known(face.matrix), face.sharpness) for _ in targets]
                face.patch = self._checks.choose(face, patches, images[face.picture], moving)
            pending = [face for face, _ in found if face.patch is None]

    def _restore(self, faces: list[Face]) -> None:
        """Decode every face as it is, once for all attempts: what no code holds is the difference from it."""
        network = self._generator().network
        for start in range(0, len(faces) if network.config.detail else 0, self._batch):
            batch = faces[start : start + self._batch]
            content = self._stack([known(face.content)[None] for face in batch])
            restored = network.decode(content, self._stack([known(face.z_id)[None] for face in batch]))
            for face, row in zip(batch, restored.float().cpu(), strict=False):
                face.restored = row[None]

    def _decode(self, wanted: list[tuple[Face, Tensor]]) -> Iterator[Tensor]:
        """The crop of each face moved to a target, in batches that do not depend on the other faces."""
        network = self._generator().network
        for batch in self._batches(wanted):
            crops = self._stack([known(face.crop) for face, _ in batch])
            soft = [face.structured >= self._settings.loop.soften_after for face, _ in batch]
            content = self._stack(
                [self._content(face, softened)[None] for (face, _), softened in zip(batch, soft, strict=True)]
            )
            identity = self._stack([known(face.z_id)[None] for face, _ in batch])
            goal = self._stack([target[None] for _, target in batch])
            own = [  # of a softened look nothing sharp is carried over
                known(face.crop if softened or face.restored is None else face.restored)
                for (face, _), softened in zip(batch, soft, strict=True)
            ]
            restored = self._stack(own)
            moved = network.move(crops, content, identity, goal, restored).float()
            if self._keeper is not None:
                moved = self._keeper.put_back(moved, self._stack([self._keeper.of(face) for face, _ in batch]))
            yield from (crop[None] for crop in moved[: len(batch)].cpu())

    def _batches(self, wanted: list[tuple[Face, Tensor]]) -> Iterator[list[tuple[Face, Tensor]]]:
        """Batches of a fixed size on a GPU; on a CPU, where rounding depends on the size, all that one face wants."""
        if self._batch > 1:
            yield from (wanted[start : start + self._batch] for start in range(0, len(wanted), self._batch))
        else:
            yield from (list(several) for _, several in groupby(wanted, key=lambda entry: id(entry[0])))

    def _content(self, face: Face, soft: bool) -> Tensor:
        """What is kept of a face: its content, or that of its softened crop, which holds less of its fine structure."""
        if not soft:
            return known(face.content)
        if face.softened is None:
            crop = self._stack([soften(known(face.crop))])
            face.softened = self._generator().network.encode(crop)[0][0]
        return face.softened

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

    @property
    def _batch(self) -> int:
        # On a CPU rounding depends on the size of a batch and little is gained; on a GPU the last one is filled up.
        return 1 if self._parts.device == "cpu" else _GPU_BATCH

    def _stack(self, rows: list[Tensor]) -> Tensor:
        """Concatenate (1, …) tensors and fill up to the fixed batch with zeros."""
        batch = torch.cat([row.to(self._parts.device) for row in rows])
        missing = self._batch - len(batch)
        return torch.cat([batch, batch.new_zeros(missing, *batch.shape[1:])]) if missing > 0 else batch

    def _generator(self) -> TrainedGenerator:
        return known(self._parts.generator)


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
