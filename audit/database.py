"""Opening an evidence database: SQLite by default, PostgreSQL by URL, always at the newest revision."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError

from cfanet.errors import ConfigError, InputError

_BATCH_ROWS = 500
_BUSY_MS = 30_000


def sqlite_url(path: Path) -> str:
    """URL of an SQLite file."""
    return f"sqlite:///{path.resolve()}"


def open_database(url: str) -> Engine:
    """Connect and apply all revisions. ConfigError for a URL of another kind, InputError when it cannot be opened."""
    try:
        name = make_url(url).get_backend_name()
        if name not in ("sqlite", "postgresql"):
            raise ConfigError(f"database {name!r} is not supported: use a sqlite:// or postgresql:// URL")
        engine = create_engine(url, pool_pre_ping=True)
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise ConfigError("the database URL cannot be used: give sqlite:///FILE or postgresql://…") from error
    if name == "sqlite":
        _tune_sqlite(engine)
    try:
        _migrate(engine)
    except OperationalError as error:
        engine.dispose()
        shown = make_url(url).render_as_string(hide_password=True)
        raise InputError(f"the database {shown} cannot be opened ({error.orig}): check path and rights") from error
    return engine


def close_database(engine: Engine) -> None:
    """Disconnect; an SQLite file is left whole, without a write-ahead log beside it."""
    if engine.dialect.name == "sqlite":
        raw = engine.raw_connection()
        try:
            raw.cursor().execute("PRAGMA journal_mode=DELETE")
        except sqlite3.OperationalError:
            pass  # somebody else is reading: the log stays, and SQLite finds it
        finally:
            raw.close()
    engine.dispose()


def migration_config(connection: Connection) -> Config:
    """Alembic's configuration for one connection; the revisions are package data."""
    config = Config()
    config.set_main_option("script_location", "audit:migrations")
    config.attributes["connection"] = connection
    return config


def upsert(connection: Connection, table: Table, keys: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Insert rows; where `keys` (a unique constraint) exist already, update the other columns."""
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    batch = [dict(row) for row in rows]
    if not batch:
        return
    statement = insert(table)
    changed = {name: statement.excluded[name] for name in batch[0] if name not in keys}
    if changed:
        statement = statement.on_conflict_do_update(index_elements=list(keys), set_=changed)
    else:
        statement = statement.on_conflict_do_nothing(index_elements=list(keys))
    for start in range(0, len(batch), _BATCH_ROWS):
        connection.execute(statement, batch[start : start + _BATCH_ROWS])


def _tune_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _on_connect(dbapi_connection: sqlite3.Connection, _: object) -> None:
        dbapi_connection.isolation_level = None  # transactions begin below, so that DDL is inside them too
        for pragma in (
            f"busy_timeout={_BUSY_MS}",
            "journal_mode=WAL",
            "synchronous=NORMAL",
            "foreign_keys=ON",
        ):
            dbapi_connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _migrate(engine: Engine) -> None:
    with engine.connect() as connection:
        if MigrationContext.configure(connection).get_current_revision() == _newest_revision():
            return
    with engine.connect() as connection:
        # Batch migrations copy and drop tables; with foreign keys on, dropping would cascade into the children.
        _set_foreign_keys(connection, "OFF")
        with connection.begin():
            command.upgrade(migration_config(connection), "head")
        _set_foreign_keys(connection, "ON")


@cache
def _newest_revision() -> str | None:
    return ScriptDirectory(str(resources.files("audit") / "migrations")).get_current_head()


def _set_foreign_keys(connection: Connection, state: str) -> None:
    """On SQLite, outside any transaction: within one the pragma is ignored."""
    if connection.dialect.name == "sqlite":
        connection.connection.cursor().execute(f"PRAGMA foreign_keys={state}")
