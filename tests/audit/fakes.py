"""Fakes with known answers: a recognizer that reads the identity from a pixel, and evidence of a whole small run."""

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from audit.calibration import calibrate
from audit.evidence import Evidence
from audit.gallery import Gallery, GalleryRow, Snapshot
from audit.reconcile import reconcile
from audit.records import (
    AuditedFace,
    AuditedPicture,
    AuditedShard,
    EnrolledFace,
    EnrolledPicture,
    FaceOrigin,
    GallerySearch,
    LedgerPicture,
    ModelInfo,
    RunInfo,
)
from audit.second_detector import SeenFace
from cfanet.records import (
    Box,
    Comparison,
    Detection,
    Embeddings,
    Excused,
    FaceDecision,
    FaceRecord,
    ImageArray,
    ImageStatus,
    Landmarks,
)
from cfanet.search import References

DIM = 128
PUBLISHED_THRESHOLD = 0.6


def unit(rng: np.random.Generator, n: int, dim: int = DIM) -> Embeddings:
    """(n, dim) random unit vectors."""
    v = rng.standard_normal((n, dim))
    return (v / np.linalg.norm(v, axis=1, keepdims=True)).astype(np.float32)


class FakeRecognizer:
    """The identity of a face is the grey value at its nose: equal values, equal vectors."""

    def __init__(self, name: str = "fake", digest: str = "d" * 64) -> None:
        self.name = name
        self.dim = DIM
        self.digest = digest
        self._vectors = unit(np.random.default_rng(7), 256)

    def vector(self, grey: int) -> Embeddings:
        """(DIM,) of one identity."""
        return self._vectors[grey]

    def embed(self, images: Sequence[ImageArray], landmarks: Sequence[Landmarks]) -> Embeddings:
        rows = [
            self._vectors[image[round(float(p[2, 1])), round(float(p[2, 0])), 0]]
            for image, p in zip(images, landmarks, strict=True)
        ]
        return np.stack(rows) if rows else np.zeros((0, DIM), np.float32)

    def threshold(self, fmr: float) -> float:
        return PUBLISHED_THRESHOLD


class FakeSecondDetector:
    """Sees exactly the boxes it is told."""

    name = "fake-second"

    def __init__(self, *boxes: Box) -> None:
        self._boxes = boxes

    def detect(self, image: ImageArray) -> list[SeenFace]:
        return [SeenFace(box, 1.0) for box in self._boxes]


class FakeDetector:
    """Finds the faces it is told, whatever the picture."""

    name = "fake"

    def __init__(self, *boxes: Box) -> None:
        self._boxes = boxes

    def detect(self, image: ImageArray) -> list[Detection]:
        return [detection(box) for box in self._boxes]

    def detect_every(self, image: ImageArray, excused: Excused | None = None) -> list[Detection]:
        return self.detect(image)


def detection(box: Box, score: float = 0.99) -> Detection:
    """A face whose nose is in the middle of its box."""
    x1, y1, x2, y2 = box
    shares = np.array([[0.3, 0.3], [0.7, 0.3], [0.5, 0.5], [0.35, 0.7], [0.65, 0.7]])
    points = np.array([x1, y1]) + shares * np.array([x2 - x1, y2 - y1])
    return Detection(box, score, points.astype(np.float32))


def picture(*faces: tuple[Box, int], size: tuple[int, int] = (120, 200), ground: int = 9) -> ImageArray:
    """(H, W, 3) uint8: every face a flat patch of its grey value."""
    image = np.full((*size, 3), ground, np.uint8)
    for (x1, y1, x2, y2), grey in faces:
        image[int(y1) : int(y2), int(x1) : int(x2)] = grey
    return image


def png(image: ImageArray) -> bytes:
    """A clean PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def face_record(index: int, box: Box, decision: FaceDecision = FaceDecision.REPLACED, **changes: object) -> FaceRecord:
    """A ledger row."""
    values: dict[str, object] = {
        "face_index": index,
        "box": box,
        "detector": "mtcnn",
        "detector_score": 0.99,
        "method": "cfa" if decision is FaceDecision.REPLACED else "mask",
        "decision": decision,
        "attempts": 1,
        "requested_angle_deg": 90.0 if decision is FaceDecision.REPLACED else None,
        "measured_angle_deg": 88.0 if decision is FaceDecision.REPLACED else None,
        "seed_id": "s" * 16,
    }
    return FaceRecord(**{**values, **changes})  # type: ignore[arg-type]


def enrolled(
    key: str, original: ImageArray, recognizer: FakeRecognizer, *boxes: Box, subject: str = ""
) -> EnrolledPicture:
    """The gallery's picture: faces at `boxes`, embedded."""
    faces = []
    for index, box in enumerate(boxes):
        found = detection(box)
        vector = recognizer.embed([original], [found.landmarks])[0]
        faces.append(EnrolledFace(key, index, subject, found, {recognizer.name: vector}))
    return EnrolledPicture(key, sha256(key.encode()), tuple(faces))


def run_info(run_id: str = "run-1", **changes: object) -> RunInfo:
    values: dict[str, object] = {
        "run_id": run_id,
        "kind": "release",
        "source_uri": "/data/portraits",
        "output_uri": "/data/portraits-released",
        "data_format": "webdataset",
        "started_at": "2026-01-05T10:00:00Z",
        "config_json": '{"anonymize":{"angle_deg":90.0},"audit":{"fmr":0.001}}',
        "code_version": "0.1.0",
        "key_fingerprint": "4f1c0a2b9d3e",
        "models": (
            ModelInfo("cfa-default", "anonymizer", "a1" * 32),
            ModelInfo("mtcnn", "detector", ""),
            ModelInfo("dlib-hog", "second_detector", ""),
            ModelInfo("identity-branch", "loop_recognizer", "a1" * 32, 512),
            ModelInfo("fake", "auditor", "d" * 64, DIM),
        ),
    }
    return RunInfo(**{**values, **changes})  # type: ignore[arg-type]


def small_gallery(people: int = 90, each: int = 3, dim: int = 16, noise: float = 0.15) -> Gallery:
    """References of `people` subjects, `each` pictures of everyone, scattered around a centre."""
    rng = np.random.default_rng(3)
    centres = np.repeat(unit(rng, people, dim), each, axis=0)
    vectors = centres + noise * rng.standard_normal(centres.shape)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    ids = tuple(f"p{i // each:03d}_{i % each}#0" for i in range(people * each))
    return Gallery(References(ids, vectors), tuple(f"{i // each:016x}" for i in range(people * each)))


def audited_shard(name: str, n: int, *, leaks: int = 0, start: int = 0, threshold: float = 0.6) -> AuditedShard:
    """`n` examined pictures: the first `leaks` still match their original; every tenth is obscured, one withheld."""
    rng = np.random.default_rng(start + 11)
    pictures = []
    for i in range(n):
        key = f"{name}/{start + i:05d}"
        if i == n - 1:
            pictures.append(
                AuditedPicture(LedgerPicture(key, ImageStatus.QUARANTINED, "undecodable: 0 bytes", "0" * 64, "", ()))
            )
            continue
        obscured = i % 10 == 9
        decision = FaceDecision.OBSCURED if obscured else FaceDecision.REPLACED
        similarity = 0.9 if i < leaks else float(rng.normal(0.18 if obscured else 0.05, 0.09))
        asked = 90.0 + 10.0 * (i % 3)
        loop = Comparison("identity-branch", "mated", f"{key}#0", 0.02, 88.9, 0.3)
        record = face_record(0, (10.0, 10.0, 60.0, 60.0), decision, comparisons=(loop,), attempts=1 + i % 3)
        if not obscured:
            record = face_record(
                0,
                (10.0, 10.0, 60.0, 60.0),
                decision,
                comparisons=(loop,),
                attempts=1 + i % 3,
                requested_angle_deg=asked,
                measured_angle_deg=asked + float(rng.normal(-3, 2)),
            )
        mated = Comparison("fake", "mated", f"{key}#0", similarity, float(np.degrees(np.arccos(similarity))), threshold)
        other = float(rng.normal(0.4, 0.08))
        found = GallerySearch(
            "fake", 270, threshold, "p001_0#0", other, similarity, 1 if i < leaks else int(rng.integers(2, 270))
        )
        face = AuditedFace(
            key,
            0,
            FaceOrigin.LEDGER,
            "",
            record.box,
            record,
            (mated, Comparison("fake", "gallery", "p001_0#0", other, 66.0, threshold)),
            (found,),
            31.5,
            False,
        )
        status = ImageStatus.OBSCURED if obscured else ImageStatus.ANONYMIZED
        ledger = LedgerPicture(key, status, "", sha256(key.encode()), "f" * 64, (record,), "JPEG", 200, 120)
        pictures.append(AuditedPicture(ledger, (face,), (), True))
    keys = [p.ledger.sample_key for p in pictures]
    return AuditedShard(name, "etag-1", sha256(name.encode()), reconcile(keys, keys[:-1], keys[-1:]), tuple(pictures))


def write_run(evidence: Evidence, shards: Sequence[AuditedShard], run: RunInfo | None = None) -> str:
    """Write everything of a small run but its verdict; returns its id."""
    run = run or run_info()
    gallery = small_gallery()
    references = [
        GalleryRow(name, subject, sha256(name.encode()))
        for name, subject in zip(gallery.references.ids, gallery.subjects, strict=True)
    ]
    evidence.begin_run(run)
    evidence.write_gallery(run.run_id, Snapshot("c" * 64, len(references), 90, 270, ("fake",)), references)
    evidence.write_thresholds(run.run_id, [calibrate(FakeRecognizer(), gallery, 1e-3)])
    for shard in shards:
        evidence.write_shard(run.run_id, shard)
    return run.run_id


def sqlite_at(directory: Path) -> str:
    return f"sqlite:///{directory / 'evidence.sqlite'}"
