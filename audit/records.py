"""What the caller hands to the audit and what it gets back. Frozen, picklable, free of pixels and names.

Embeddings travel in `AuditedFace.embeddings` between `Auditor` and `search_gallery` only; evidence never sees them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from cfanet.records import Box, Comparison, Detection, Embeddings, FaceRecord, ImageArray, ImageStatus

NAMED_BY_AUDIT = "named by an audit"
"""How the detail of a face begins that is obscured because of what an earlier audit of the same release found."""


@dataclass(frozen=True, eq=False)
class EnrolledFace:
    """One face of an original, as the gallery keeps it."""

    sample_key: str
    face_index: int
    subject_id: str  # pseudonym of the person, "" where the owner gave no label
    detection: Detection
    embeddings: Mapping[str, Embeddings]  # recognizer -> (d,) float32 unit norm
    patch: bytes = b""  # the face's pixels, tiny and grey (audit.duplicates); private like the embeddings

    @property
    def reference_id(self) -> str:
        """Id of this face in galleries, comparisons and reports."""
        return f"{self.sample_key}#{self.face_index}"


@dataclass(frozen=True, eq=False)
class EnrolledPicture:
    """One original: its digest and its faces, possibly none."""

    sample_key: str
    input_sha256: str
    faces: tuple[EnrolledFace, ...]
    fingerprint: int = 0  # perceptual hash of the whole picture, 64 bits (audit.duplicates)
    width: int = 0
    height: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)  # the owner's, by field


@dataclass(frozen=True)
class LedgerPicture:
    """What the ledger says about one sample: the claim that the audit examines."""

    sample_key: str
    status: ImageStatus
    detail: str
    input_sha256: str
    output_sha256: str  # "" when quarantined
    faces: tuple[FaceRecord, ...]
    media_type: str = ""  # "JPEG", "PNG", ...
    width: int = 0
    height: int = 0


@dataclass(frozen=True, eq=False)
class AuditTask:
    """One released picture to examine. `original` may be None; unchanged pixels can then not be confirmed."""

    ledger: LedgerPicture
    enrolled: EnrolledPicture
    released: bytes  # the file as it was released
    original: ImageArray | None = None  # (H, W, 3) uint8 RGB, upright


class FaceOrigin(StrEnum):
    """Who says that there is (or was) a face."""

    LEDGER = "ledger"  # recorded by the anonymizer
    GALLERY = "gallery"  # enrolled from the original, but covered by no ledger row
    SECOND_DETECTOR = "second_detector"  # seen in the released picture only, by the auditor's detector


@dataclass(frozen=True)
class GallerySearch:
    """One exact 1:N search of a released face among all originals, by one recognizer."""

    recognizer: str
    n_references: int
    threshold: float
    best_other_id: str  # best reference of another person; "" where the gallery holds nobody else
    best_other_similarity: float  # -1.0 where there is none
    own_similarity: float | None  # best reference of the same person; None where nothing is enrolled
    true_rank: int | None  # 1 + references of others above `own_similarity`

    @property
    def collides(self) -> bool:
        """True when the face is matched to a real person who is not its original."""
        return bool(self.best_other_id) and self.best_other_similarity >= self.threshold


@dataclass(frozen=True, eq=False)
class AuditedFace:
    """One face of a released picture, examined."""

    sample_key: str
    face_index: int
    origin: FaceOrigin
    subject_id: str
    box: Box
    record: FaceRecord | None  # the ledger's row; None when no row covers this face
    comparisons: tuple[Comparison, ...] = ()  # the auditor's: mated, then best of the gallery
    searches: tuple[GallerySearch, ...] = ()
    pixel_change: float | None = None  # mean absolute difference inside the box, grey levels; None without original
    unchanged: bool | None = None  # `pixel_change` within tolerance; None when not known
    fta: bool = False  # could not be compared: nothing is enrolled for it and the original was not at hand
    score: float | None = None  # the second detector's, for faces only it found
    embeddings: Mapping[str, Embeddings] = field(default_factory=dict)
    strata: Mapping[str, str] = field(default_factory=dict)  # dimension -> value (audit.strata)

    @classmethod
    def unexamined(cls, sample_key: str, record: FaceRecord) -> "AuditedFace":
        """The ledger's row alone, for faces of pictures that were not released."""
        return cls(sample_key, record.face_index, FaceOrigin.LEDGER, "", record.box, record)


@dataclass(frozen=True, eq=False)
class AuditedPicture:
    """One sample, examined. For quarantined samples give the ledger row and nothing else."""

    ledger: LedgerPicture
    faces: tuple[AuditedFace, ...] = ()
    findings: tuple[str, ...] = ()  # metadata found in the released bytes, digest mismatch, undecodable file
    examined: bool = False  # the released file was read


@dataclass(frozen=True)
class Finding:
    """Something that must not be in the output, outside the pictures' own metadata."""

    kind: Literal["name", "near_duplicate", "stray"]
    place: str  # sample key, member or file
    detail: str  # one sentence, without the name or the pixels themselves


@dataclass(frozen=True)
class AttackResult:
    """How often one attacker succeeded; `n` is 0 where it was skipped, and `detail` says why."""

    name: str  # linkage, parrot, reconstruction
    recognizer: str
    role: Literal["attack", "positive_control", "negative_control"]
    hits: int
    n: int
    chance: float
    detail: str


@dataclass(frozen=True)
class Reconciliation:
    """Where the samples of one shard ended up."""

    n_source: int
    n_output: int
    n_quarantined: int
    lost: tuple[str, ...] = ()  # neither in the output nor in quarantine
    repeated: tuple[str, ...] = ()  # in both, or more than once
    unexpected: tuple[str, ...] = ()  # not in the source at all

    @property
    def holds(self) -> bool:
        """True when every sample is in exactly one place."""
        return not (self.lost or self.repeated or self.unexpected)


@dataclass(frozen=True, eq=False)
class AuditedShard:
    """All samples of one shard, examined; what `Evidence.write_shard` stores in one transaction."""

    name: str
    source_etag: str
    output_sha256: str
    account: Reconciliation
    pictures: tuple[AuditedPicture, ...]
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class ModelInfo:
    """One model that took part."""

    name: str
    role: Literal["anonymizer", "detector", "second_detector", "loop_recognizer", "training_guide", "auditor"]
    digest: str  # SHA-256 of the weights, hex; "" where there is none
    dim: int = 0


@dataclass(frozen=True)
class RunInfo:
    """What identifies one audit; times are ISO 8601 in UTC and are given, never taken."""

    run_id: str
    kind: str  # "release", "audit"
    source_uri: str
    output_uri: str
    data_format: str  # "webdataset", "imagefolder", ...
    started_at: str
    config_json: str  # canonical JSON of the whole configuration, free of secrets
    code_version: str
    key_fingerprint: str  # of the seed key; never the key
    identity: str = "per_face"  # or "per_subject": pseudonymisation
    models: tuple[ModelInfo, ...] = ()
