"""Outside galleries by digest. Adds a table and changes none, so that old runs keep their digests and chains."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_BIG: TypeEngine[int] = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "outside_gallery",
        sa.Column("id", _BIG, primary_key=True, autoincrement=True),
        sa.Column("run_id", _BIG, sa.ForeignKey("run.id", ondelete="CASCADE"), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("name", "snapshot_sha256")),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("n_references", "n_subjects", "n_pictures")),
        sa.UniqueConstraint("run_id", "name"),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("outside_gallery")
