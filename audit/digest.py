"""One digest over everything that SQL holds of a run, so that RELEASE.json can bind it.

Rows are named by their natural keys, not by the ids a database happened to give them; the digest is therefore the
same on SQLite and PostgreSQL and in whatever order shards were written.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, FromClause, Select, Table, select
from sqlalchemy.sql.elements import ColumnElement

from audit import schema

_TABLES: tuple[Table, ...] = (
    schema.RUN,
    schema.MODEL,
    schema.GALLERY,
    schema.GALLERY_REFERENCE,
    schema.SHARD,
    schema.SAMPLE,
    schema.FACE,
    schema.COMPARISON,
    schema.SEARCH,
    schema.THRESHOLD,
    schema.METRIC,
    schema.OPERATING_POINT,
    schema.STRATUM,
    schema.FINDING,
    schema.ATTACK,
    schema.OUTSIDE_GALLERY,
)
_SINCE_0002 = {schema.OPERATING_POINT, schema.STRATUM, schema.FINDING, schema.ATTACK, schema.OUTSIDE_GALLERY}
_SINCE_0003 = {schema.OUTSIDE_GALLERY}
_PARENTS: dict[str, Table] = {
    "gallery_reference": schema.GALLERY,
    "sample": schema.SHARD,
    "face": schema.SAMPLE,
    "comparison": schema.FACE,
    "search": schema.FACE,
    "stratum": schema.FACE,
}
_NATURAL: dict[str, tuple[str, ...]] = {
    "gallery": ("snapshot_sha256",),
    "shard": ("name",),
    "sample": ("key",),
    "face": ("origin", "face_index"),
}


def run_digest(connection: Connection, run: int) -> str:
    """SHA-256, hex, over all rows of the run with row id `run`."""
    digest = hashlib.sha256()
    for table in _TABLES:
        rows = _row_digests(connection, table, run)
        if not rows and table in _SINCE_0002:
            continue  # so that runs of the first revision keep the digest they were sealed with
        digest.update(_stream(table, rows))
    return digest.hexdigest()


def table_digests(connection: Connection, run: int) -> dict[str, str]:
    """SHA-256, hex, of the run's rows in each table by its name: they say *where* something was changed."""
    digests = {}
    for table in _TABLES:
        rows = _row_digests(connection, table, run)
        if rows or table not in _SINCE_0003:  # a chain of an earlier revision does not name it
            digests[table.name] = hashlib.sha256(_stream(table, rows)).hexdigest()
    return digests


def _row_digests(connection: Connection, table: Table, run: int) -> list[bytes]:
    return sorted(hashlib.sha256(line.encode()).digest() for line in _lines(connection, table, run))


def _stream(table: Table, rows: Sequence[bytes]) -> bytes:
    return f"{table.name} {len(rows)}\n".encode() + b"".join(rows)


def _lines(connection: Connection, table: Table, run: int) -> Iterator[str]:
    """Every row of the run in one table as canonical JSON, parents' natural keys first."""
    for row in connection.execution_options(yield_per=1000).execute(_query(table, run)):
        yield json.dumps(list(row), ensure_ascii=True, separators=(",", ":"), default=str)


def _query(table: Table, run: int) -> Select[Any]:
    own: list[ColumnElement[object]] = [column for column in table.c if column.name != "id" and not column.foreign_keys]
    source: FromClause = table
    naturals: list[ColumnElement[object]] = []
    top = table
    while top.name in _PARENTS:
        parent = _PARENTS[top.name]
        naturals = [parent.c[name] for name in _NATURAL[parent.name]] + naturals
        source = source.join(parent, top.c[f"{parent.name}_id"] == parent.c.id)
        top = parent
    if table is schema.RUN:
        where = table.c.id == run
        own += _datasets()
    else:
        where = top.c.run_id == run
    columns: list[Any] = [*naturals, *own]
    return select(*columns).select_from(source).where(where)


def _datasets() -> list[ColumnElement[object]]:
    table = schema.DATASET
    columns: list[ColumnElement[object]] = []
    for foreign in (schema.RUN.c.source_id, schema.RUN.c.output_id):
        for name in ("uri", "format"):
            columns.append(select(table.c[name]).where(table.c.id == foreign).scalar_subquery())
    return columns
