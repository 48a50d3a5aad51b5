"""Operating points, strata, findings and attacks. Adds tables and changes none, so that old runs keep their digests."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_BIG: TypeEngine[int] = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "operating_point",
        *_keys("run"),
        _text("recognizer"),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("fmr", sa.Float(53), nullable=False),
        *(sa.Column(name, sa.Float(53)) for name in ("fnmr", "threshold", "low", "high")),
        *(sa.Column(f"{group}_{part}", _BIG) for group in ("false_match", "true_match") for part in ("hits", "n")),
        _text("reason"),
        sa.UniqueConstraint("run_id", "recognizer", "kind", "ordinal"),
    )
    op.create_table(
        "stratum",
        *_keys("face"),
        *(_text(name) for name in ("dimension", "value")),
        sa.UniqueConstraint("face_id", "dimension"),
    )
    op.create_table(
        "finding",
        *_keys("run"),
        _text("shard"),
        sa.Column("kind", sa.String(16), nullable=False),
        *(_text(name) for name in ("place", "detail")),
        sa.UniqueConstraint("run_id", "shard", "kind", "place", "detail"),
    )
    op.create_table(
        "attack",
        *_keys("run"),
        *(_text(name) for name in ("name", "recognizer")),
        sa.Column("role", sa.String(16), nullable=False),
        *(sa.Column(name, _BIG, nullable=False) for name in ("hits", "n")),
        sa.Column("chance", sa.Float(53), nullable=False),
        _text("detail"),
        sa.UniqueConstraint("run_id", "name", "recognizer", "role"),
    )


def downgrade() -> None:
    """Take back."""
    for table in ("attack", "finding", "stratum", "operating_point"):
        op.drop_table(table)


def _keys(parent: str) -> tuple[sa.Column[int], sa.Column[int]]:
    foreign = sa.ForeignKey(f"{parent}.id", ondelete="CASCADE")
    return (
        sa.Column("id", _BIG, primary_key=True, autoincrement=True),
        sa.Column(f"{parent}_id", _BIG, foreign, nullable=False),
    )


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)
