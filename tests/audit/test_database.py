from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import create_engine, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from audit import schema
from audit.database import close_database, migration_config, open_database, sqlite_url, upsert


def _objects(url: str) -> set[str]:
    with create_engine(url).connect() as connection:
        rows = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL").scalars()
        return {"".join(row.split()) for row in rows if "alembic_version" not in row}


def test_the_migrations_build_exactly_the_tables_of_the_schema(tmp_path: Path) -> None:
    close_database(open_database(sqlite_url(tmp_path / "migrated.sqlite")))
    created = create_engine(sqlite_url(tmp_path / "created.sqlite"))
    schema.METADATA.create_all(created)
    assert len(schema.METADATA.tables) == 17
    assert _objects(sqlite_url(tmp_path / "migrated.sqlite")) == _objects(sqlite_url(tmp_path / "created.sqlite"))


def test_no_change_of_the_schema_is_without_a_revision(tmp_path: Path) -> None:
    engine = open_database(sqlite_url(tmp_path / "e.sqlite"))
    with engine.connect() as connection:
        command.check(migration_config(connection))  # raises when autogenerate would find something to do
    close_database(engine)


def test_revisions_can_be_taken_back_and_applied_again(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "e.sqlite")
    engine = open_database(url)
    with engine.begin() as connection:
        command.downgrade(migration_config(connection), "base")
    assert _objects(url) == set()
    close_database(engine)
    close_database(open_database(url))
    assert len(_objects(url)) >= 12


def test_sqlite_is_tuned_and_checks_foreign_keys(tmp_path: Path) -> None:
    engine = open_database(sqlite_url(tmp_path / "e.sqlite"))
    with engine.connect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "busy_timeout", "foreign_keys")
        }
    close_database(engine)
    assert pragmas == {"journal_mode": "wal", "busy_timeout": 30_000, "foreign_keys": 1}


def test_an_upsert_updates_instead_of_repeating(tmp_path: Path) -> None:
    engine = open_database(sqlite_url(tmp_path / "e.sqlite"))
    rows = [{"uri": f"/d{i}", "side": "source", "format": "webdataset"} for i in range(1203)]
    with engine.begin() as connection:
        upsert(connection, schema.DATASET, ("uri", "side"), rows)
        ids = connection.execute(select(schema.DATASET.c.uri, schema.DATASET.c.id)).all()
        upsert(connection, schema.DATASET, ("uri", "side"), [{**row, "format": "parquet"} for row in rows])
        found = connection.execute(select(schema.DATASET.c.uri, schema.DATASET.c.id)).all()
        formats = set(connection.execute(select(schema.DATASET.c.format)).scalars())
        upsert(connection, schema.DATASET, ("uri", "side"), [])
    close_database(engine)
    assert len(ids) == 1203
    assert (found, formats) == (ids, {"parquet"})


@pytest.mark.parametrize("table", schema.METADATA.sorted_tables, ids=lambda table: table.name)
def test_every_table_has_a_natural_key_and_compiles_for_postgresql(table: schema.Table) -> None:
    unique = [c for c in table.constraints if isinstance(c, schema.UniqueConstraint)]
    assert len(unique) == 1
    assert str(CreateTable(table).compile(dialect=postgresql.dialect()))
