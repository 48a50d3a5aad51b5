"""Alembic revisions of the evidence database; `audit.evidence` applies them when it opens one."""
