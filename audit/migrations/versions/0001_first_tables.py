"""The first tables. Written out, not imported from audit.schema: a revision never changes after its release."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_BIG: TypeEngine[int] = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TABLES = (
    "dataset",
    "run",
    "model",
    "gallery",
    "gallery_reference",
    "shard",
    "sample",
    "face",
    "comparison",
    "search",
    "threshold",
    "metric",
)


def upgrade() -> None:
    """Apply."""
    _create_run()
    _create_gallery()
    _create_ledger()
    _create_results()
    _create_statistics()


def downgrade() -> None:
    """Take back."""
    for table in reversed(_TABLES):
        op.drop_table(table)


def _id() -> sa.Column[int]:
    return sa.Column("id", _BIG, primary_key=True, autoincrement=True)


def _parent(table: str) -> sa.Column[int]:
    return sa.Column(f"{table}_id", _BIG, sa.ForeignKey(f"{table}.id", ondelete="CASCADE"), nullable=False)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def _word(name: str, length: int) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=False)


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False)


def _real(name: str, nullable: bool = False) -> sa.Column[float]:
    return sa.Column(name, sa.Float(53), nullable=nullable)


def _flag(name: str, nullable: bool = False) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), nullable=nullable)


def _create_run() -> None:
    op.create_table(
        "dataset", _id(), _text("uri"), _word("side", 8), _text("format"), sa.UniqueConstraint("uri", "side")
    )
    op.create_table(
        "run",
        _id(),
        sa.Column("name", sa.Text(), nullable=False, unique=True),
        _text("kind"),
        sa.Column("source_id", _BIG, sa.ForeignKey("dataset.id"), nullable=False),
        sa.Column("output_id", _BIG, sa.ForeignKey("dataset.id"), nullable=False),
        _word("started_at", 40),
        sa.Column("finished_at", sa.String(40), nullable=False, server_default=""),
        _word("status", 16),
        sa.Column("verdict_json", sa.Text(), nullable=False, server_default=""),
        _text("config_json"),
        _text("config_sha256"),
        _text("code_version"),
        _text("key_fingerprint"),
        _word("identity", 16),
    )
    op.create_table(
        "model",
        _id(),
        _parent("run"),
        *(_text(name) for name in ("name", "role", "digest")),
        _count("dim"),
        sa.UniqueConstraint("run_id", "name", "role"),
    )


def _create_gallery() -> None:
    op.create_table(
        "gallery",
        _id(),
        _parent("run"),
        _text("snapshot_sha256"),
        _count("n_references"),
        _count("n_subjects"),
        _count("n_pictures"),
        sa.UniqueConstraint("run_id", "snapshot_sha256"),
    )
    op.create_table(
        "gallery_reference",
        _id(),
        _parent("gallery"),
        _count("ordinal"),
        _text("reference"),
        _text("subject"),
        _text("input_sha256"),
        sa.UniqueConstraint("gallery_id", "ordinal"),
    )


def _create_ledger() -> None:
    op.create_table(
        "shard",
        _id(),
        _parent("run"),
        *(_text(name) for name in ("name", "source_etag", "output_sha256")),
        *(_count(name) for name in ("n_source", "n_output", "n_quarantined")),
        *(_text(name) for name in ("lost_json", "repeated_json", "unexpected_json")),
        sa.UniqueConstraint("run_id", "name"),
    )
    op.create_table(
        "sample",
        _id(),
        _parent("shard"),
        _text("key"),
        _word("status", 16),
        _text("detail"),
        _word("media_type", 16),
        *(_count(name) for name in ("width", "height")),
        *(_text(name) for name in ("input_sha256", "output_sha256")),
        _flag("examined"),
        _text("findings_json"),
        sa.UniqueConstraint("shard_id", "key"),
    )
    op.create_table(
        "face",
        _id(),
        _parent("sample"),
        _word("origin", 16),
        _count("face_index"),
        _text("subject"),
        *(_real(name) for name in ("box_x1", "box_y1", "box_x2", "box_y2")),
        _text("detector"),
        _real("detector_score", nullable=True),
        _text("method"),
        _word("decision", 16),
        _count("attempts"),
        *(_real(name, nullable=True) for name in ("requested_angle_deg", "measured_angle_deg")),
        *(_text(name) for name in ("seed_id", "detail")),
        _real("pixel_change", nullable=True),
        _flag("unchanged", nullable=True),
        _flag("fta"),
        sa.UniqueConstraint("sample_id", "origin", "face_index"),
    )


def _create_results() -> None:
    op.create_table(
        "comparison",
        _id(),
        _parent("face"),
        _word("stage", 8),
        _text("recognizer"),
        _word("kind", 8),
        _text("reference"),
        *(_real(name) for name in ("similarity", "angle_deg", "threshold")),
        _flag("matched"),
        sa.UniqueConstraint("face_id", "stage", "recognizer", "kind"),
        sa.CheckConstraint("similarity BETWEEN -1.001 AND 1.001", name="similarity_range"),
    )
    op.create_table(
        "search",
        _id(),
        _parent("face"),
        _text("recognizer"),
        _count("n_references"),
        _real("threshold"),
        _text("best_other"),
        _real("best_other_similarity"),
        _real("own_similarity", nullable=True),
        sa.Column("true_rank", sa.Integer()),
        _flag("collides"),
        sa.UniqueConstraint("face_id", "recognizer"),
    )


def _create_statistics() -> None:
    groups = ("false_match", "true_match", "strangers")
    op.create_table(
        "threshold",
        _id(),
        _parent("run"),
        *(_text(name) for name in ("recognizer", "digest")),
        *(_real(name) for name in ("fmr", "value")),
        _word("source", 16),
        _text("reason"),
        _count("n_subjects"),
        sa.Column("n_subject_pairs", _BIG, nullable=False),
        *(sa.Column(f"{group}_{part}", _BIG, nullable=False) for group in groups for part in ("hits", "n")),
        *(_text(name) for name in ("nonmated_histogram_json", "mated_histogram_json")),
        sa.UniqueConstraint("run_id", "recognizer", "fmr"),
    )
    op.create_table(
        "metric",
        _id(),
        _parent("run"),
        *(_text(name) for name in ("name", "recognizer", "subgroup")),
        *(_real(name, nullable=True) for name in ("value", "low", "high")),
        *(sa.Column(name, _BIG) for name in ("hits", "n")),
        sa.UniqueConstraint("run_id", "name", "recognizer", "subgroup"),
    )
