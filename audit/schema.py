"""The evidence tables, in the vocabulary of ISO/IEC 19795-1. No names, pixels or embeddings in any column.

    run ─┬─ model                     what took part, with digests
         ├─ dataset                   source and output
         ├─ gallery ── gallery_reference     who could be matched, under pseudonyms
         ├─ outside_gallery           other galleries that were searched as well, by digest
         ├─ threshold                 similarity at a stated FMR, and how it was found
         ├─ operating_point           errors of untouched originals at several FMRs and along the DET curve
         ├─ metric                    every number of the report, with interval
         ├─ attack                    success of an attacker that learns, against chance and its controls
         ├─ finding                   names, raw near-duplicates and files that nobody recorded
         └─ shard ── sample ── face ─┬─ comparison    one probe, one reference: similarity and angle
                                     ├─ search        one probe against the whole gallery
                                     └─ stratum       size, share in the picture, pose, score, owner's labels

Every table has a natural unique key; writing a row twice changes nothing.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.types import TypeEngine

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)
_BIG: TypeEngine[int] = BigInteger().with_variant(Integer, "sqlite")


def _id() -> Column[int]:
    return Column("id", _BIG, primary_key=True, autoincrement=True)


def _parent(table: str) -> Column[int]:
    return Column(f"{table}_id", _BIG, ForeignKey(f"{table}.id", ondelete="CASCADE"), nullable=False)


DATASET = Table(
    "dataset",
    METADATA,
    _id(),
    Column("uri", Text, nullable=False),
    Column("side", String(8), nullable=False),  # source, output
    Column("format", Text, nullable=False),
    UniqueConstraint("uri", "side"),
)
RUN = Table(
    "run",
    METADATA,
    _id(),
    Column("name", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("source_id", _BIG, ForeignKey("dataset.id"), nullable=False),
    Column("output_id", _BIG, ForeignKey("dataset.id"), nullable=False),
    Column("started_at", String(40), nullable=False),
    Column("finished_at", String(40), nullable=False, server_default=""),
    Column("status", String(16), nullable=False),  # running, passed, refused
    Column("verdict_json", Text, nullable=False, server_default=""),
    Column("config_json", Text, nullable=False),
    Column("config_sha256", Text, nullable=False),
    Column("code_version", Text, nullable=False),
    Column("key_fingerprint", Text, nullable=False),
    Column("identity", String(16), nullable=False),
)
MODEL = Table(
    "model",
    METADATA,
    _id(),
    _parent("run"),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),  # ModelInfo.role
    Column("digest", Text, nullable=False),
    Column("dim", Integer, nullable=False),
    UniqueConstraint("run_id", "name", "role"),
)
GALLERY = Table(
    "gallery",
    METADATA,
    _id(),
    _parent("run"),
    Column("snapshot_sha256", Text, nullable=False),
    Column("n_references", Integer, nullable=False),
    Column("n_subjects", Integer, nullable=False),
    Column("n_pictures", Integer, nullable=False),
    UniqueConstraint("run_id", "snapshot_sha256"),
)
GALLERY_REFERENCE = Table(
    "gallery_reference",
    METADATA,
    _id(),
    _parent("gallery"),
    Column("ordinal", Integer, nullable=False),
    Column("reference", Text, nullable=False),  # sample key and face index of the original
    Column("subject", Text, nullable=False),  # pseudonym, "" where the owner gave no label
    Column("input_sha256", Text, nullable=False),
    UniqueConstraint("gallery_id", "ordinal"),
)
OUTSIDE_GALLERY = Table(
    "outside_gallery",
    METADATA,
    _id(),
    _parent("run"),
    Column("name", Text, nullable=False),  # what comparisons of kind "outside" put before the reference
    Column("snapshot_sha256", Text, nullable=False),
    Column("n_references", Integer, nullable=False),
    Column("n_subjects", Integer, nullable=False),
    Column("n_pictures", Integer, nullable=False),
    UniqueConstraint("run_id", "name"),
)
SHARD = Table(
    "shard",
    METADATA,
    _id(),
    _parent("run"),
    Column("name", Text, nullable=False),
    Column("source_etag", Text, nullable=False),
    Column("output_sha256", Text, nullable=False),
    Column("n_source", Integer, nullable=False),
    Column("n_output", Integer, nullable=False),
    Column("n_quarantined", Integer, nullable=False),
    Column("lost_json", Text, nullable=False),
    Column("repeated_json", Text, nullable=False),
    Column("unexpected_json", Text, nullable=False),
    UniqueConstraint("run_id", "name"),
)
SAMPLE = Table(
    "sample",
    METADATA,
    _id(),
    _parent("shard"),
    Column("key", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("detail", Text, nullable=False),
    Column("media_type", String(16), nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("input_sha256", Text, nullable=False),
    Column("output_sha256", Text, nullable=False),
    Column("examined", Boolean, nullable=False),
    Column("findings_json", Text, nullable=False),
    UniqueConstraint("shard_id", "key"),
)
FACE = Table(
    "face",
    METADATA,
    _id(),
    _parent("sample"),
    Column("origin", String(16), nullable=False),  # ledger, gallery, second_detector
    Column("face_index", Integer, nullable=False),
    Column("subject", Text, nullable=False),
    *(Column(name, Float(53), nullable=False) for name in ("box_x1", "box_y1", "box_x2", "box_y2")),
    Column("detector", Text, nullable=False),
    Column("detector_score", Float(53)),
    Column("method", Text, nullable=False),
    Column("decision", String(16), nullable=False),  # replaced, obscured, withheld; "" where nothing is recorded
    Column("attempts", Integer, nullable=False),
    Column("requested_angle_deg", Float(53)),
    Column("measured_angle_deg", Float(53)),
    Column("seed_id", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("pixel_change", Float(53)),
    Column("unchanged", Boolean),
    Column("fta", Boolean, nullable=False),
    UniqueConstraint("sample_id", "origin", "face_index"),
)
COMPARISON = Table(
    "comparison",
    METADATA,
    _id(),
    _parent("face"),
    Column("stage", String(8), nullable=False),  # loop: by the anonymizer itself; audit: by the judge
    Column("recognizer", Text, nullable=False),
    Column("kind", String(8), nullable=False),  # mated: own original; gallery: best other; outside
    Column("reference", Text, nullable=False),
    Column("similarity", Float(53), nullable=False),
    Column("angle_deg", Float(53), nullable=False),
    Column("threshold", Float(53), nullable=False),
    Column("matched", Boolean, nullable=False),  # similarity ≥ threshold
    UniqueConstraint("face_id", "stage", "recognizer", "kind"),
    CheckConstraint("similarity BETWEEN -1.001 AND 1.001", name="similarity_range"),
)
SEARCH = Table(
    "search",
    METADATA,
    _id(),
    _parent("face"),
    Column("recognizer", Text, nullable=False),
    Column("n_references", Integer, nullable=False),
    Column("threshold", Float(53), nullable=False),
    Column("best_other", Text, nullable=False),
    Column("best_other_similarity", Float(53), nullable=False),
    Column("own_similarity", Float(53)),
    Column("true_rank", Integer),
    Column("collides", Boolean, nullable=False),
    UniqueConstraint("face_id", "recognizer"),
)
THRESHOLD = Table(
    "threshold",
    METADATA,
    _id(),
    _parent("run"),
    Column("recognizer", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("fmr", Float(53), nullable=False),
    Column("value", Float(53), nullable=False),
    Column("source", String(16), nullable=False),  # owner, published
    Column("reason", Text, nullable=False),
    Column("n_subjects", Integer, nullable=False),
    Column("n_subject_pairs", _BIG, nullable=False),
    *(
        Column(f"{group}_{part}", _BIG, nullable=False)
        for group in ("false_match", "true_match", "strangers")
        for part in ("hits", "n")
    ),
    Column("nonmated_histogram_json", Text, nullable=False),
    Column("mated_histogram_json", Text, nullable=False),
    UniqueConstraint("run_id", "recognizer", "fmr"),
)
METRIC = Table(
    "metric",
    METADATA,
    _id(),
    _parent("run"),
    Column("name", Text, nullable=False),
    Column("recognizer", Text, nullable=False),  # "" where none is involved
    Column("subgroup", Text, nullable=False),  # "" for everything
    Column("value", Float(53)),
    Column("low", Float(53)),
    Column("high", Float(53)),
    Column("hits", _BIG),
    Column("n", _BIG),
    UniqueConstraint("run_id", "name", "recognizer", "subgroup"),
)
OPERATING_POINT = Table(
    "operating_point",
    METADATA,
    _id(),
    _parent("run"),
    Column("recognizer", Text, nullable=False),
    Column("kind", String(8), nullable=False),  # target: a rate that was asked for; det: a point of the curve; certain
    Column("ordinal", Integer, nullable=False),
    Column("fmr", Float(53), nullable=False),
    Column("fnmr", Float(53)),
    Column("threshold", Float(53)),  # NULL where the data do not support the rate
    Column("low", Float(53)),
    Column("high", Float(53)),
    *(Column(f"{group}_{part}", _BIG) for group in ("false_match", "true_match") for part in ("hits", "n")),
    Column("reason", Text, nullable=False),
    UniqueConstraint("run_id", "recognizer", "kind", "ordinal"),
)
STRATUM = Table(
    "stratum",
    METADATA,
    _id(),
    _parent("face"),
    Column("dimension", Text, nullable=False),  # size, share in the picture, pose, score, or label:<the owner's field>
    Column("value", Text, nullable=False),
    UniqueConstraint("face_id", "dimension"),
)
FINDING = Table(
    "finding",
    METADATA,
    _id(),
    _parent("run"),
    Column("shard", Text, nullable=False),  # "" for files that belong to none
    Column("kind", String(16), nullable=False),  # name, near_duplicate, stray
    Column("place", Text, nullable=False),  # sample key, member or file
    Column("detail", Text, nullable=False),
    UniqueConstraint("run_id", "shard", "kind", "place", "detail"),
)
ATTACK = Table(
    "attack",
    METADATA,
    _id(),
    _parent("run"),
    Column("name", Text, nullable=False),  # linkage, parrot, reconstruction
    Column("recognizer", Text, nullable=False),
    Column("role", String(16), nullable=False),  # attack, positive_control, negative_control
    Column("hits", _BIG, nullable=False),
    Column("n", _BIG, nullable=False),  # 0 where it was skipped
    Column("chance", Float(53), nullable=False),
    Column("detail", Text, nullable=False),  # what was done, or why it was skipped
    UniqueConstraint("run_id", "name", "recognizer", "role"),
)
