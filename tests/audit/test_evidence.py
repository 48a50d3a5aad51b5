from dataclasses import replace
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import create_engine, func, select

from audit import schema
from audit.config import AuditSettings
from audit.database import migration_config
from audit.evidence import Evidence
from audit.gallery import Snapshot
from audit.gate import decide
from audit.metrics import measure
from audit.records import AuditedFace, FaceOrigin, ImageStatus, Reconciliation
from cfanet.errors import ConfigError, InputError
from tests.audit.fakes import audited_shard, run_info, sqlite_at, write_run

SETTINGS = AuditSettings(recognizers=("fake",))


def _counts(directory: Path) -> dict[str, int]:
    with create_engine(sqlite_at(directory)).connect() as connection:
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in schema.METADATA.tables.values()
        }


def _finish(evidence: Evidence, run_id: str) -> None:
    rows = evidence.read_run(run_id)
    measured = measure(rows, SETTINGS)
    evidence.finish_run(run_id, measured.metrics, decide(measured, SETTINGS.gate, rows), "2026-01-05T10:09:00Z")


def test_rows_read_back_as_they_were_written(tmp_path: Path) -> None:
    shards = [audited_shard("b.tar", 12, leaks=1), audited_shard("a.tar", 3, start=12)]
    with Evidence(sqlite_at(tmp_path)) as evidence:
        rows = evidence.read_run(write_run(evidence, shards))
    info = run_info()
    assert rows.run == replace(info, models=tuple(sorted(info.models, key=lambda m: (m.role, m.name))))
    assert rows.gallery is not None
    assert (rows.gallery.n_references, rows.gallery.n_subjects) == (270, 90)
    assert [shard.name for shard in rows.shards] == ["a.tar", "b.tar"]
    assert rows.shards[1].account == shards[0].account
    assert [s.key for s in rows.samples] == [p.ledger.sample_key for shard in reversed(shards) for p in shard.pictures]
    written = [face for shard in reversed(shards) for p in shard.pictures for face in p.faces]
    assert len(rows.faces) == len(written) == 13
    for before, after in zip(written, rows.faces, strict=True):
        assert before.record is not None
        assert after.mated == before.comparisons[:1]
        assert after.loop == before.record.comparisons
        assert after.searches == before.searches
        assert (after.decision, after.attempts) == (before.record.decision, before.record.attempts)
        assert after.requested_angle_deg == before.record.requested_angle_deg
        assert (after.unchanged, after.fta, after.pixel_change) == (False, False, 31.5)
    assert rows.calibrations[0].source == "owner"


def test_writing_twice_changes_nothing(tmp_path: Path) -> None:
    shards = [audited_shard("a.tar", 12), audited_shard("b.tar", 7, start=12)]
    with Evidence(sqlite_at(tmp_path)) as evidence:
        run_id = write_run(evidence, shards)
        _finish(evidence, run_id)
        first, rows = evidence.digest(run_id), evidence.read_run(run_id)
    counted = _counts(tmp_path)
    assert (
        min(
            count
            for table, count in counted.items()
            if table not in ("finding", "attack", "stratum", "outside_gallery")
        )
        > 0
    )
    with Evidence(sqlite_at(tmp_path)) as evidence:
        write_run(evidence, shards[::-1])
        _finish(evidence, run_id)
        assert evidence.digest(run_id) == first
        assert evidence.read_run(run_id) == rows
    assert _counts(tmp_path) == counted


def test_an_examined_again_shard_replaces_the_old_one(tmp_path: Path) -> None:
    long, short = audited_shard("a.tar", 12), audited_shard("a.tar", 5)
    with Evidence(sqlite_at(tmp_path)) as evidence:
        run_id = write_run(evidence, [long])
        evidence.write_shard(run_id, short)
        rows = evidence.read_run(run_id)
    assert [s.key for s in rows.samples] == [p.ledger.sample_key for p in short.pictures]
    counted = _counts(tmp_path)
    assert (counted["face"], counted["search"], counted["comparison"]) == (4, 4, 12)


def test_the_digest_is_that_of_the_rows(tmp_path: Path) -> None:
    digests = []
    for name, order, leaks in (("x", 1, 0), ("y", -1, 0), ("z", 1, 1)):
        (tmp_path / name).mkdir()
        with Evidence(sqlite_at(tmp_path / name)) as evidence:
            shards = [audited_shard("a.tar", 6, leaks=leaks), audited_shard("b.tar", 4, start=6)][::order]
            write_run(evidence, [audited_shard("other.tar", 2)], run_info("another"))
            digests.append(evidence.digest(write_run(evidence, shards)))
    assert digests[0] == digests[1] != digests[2]


def test_other_galleries_are_bound_by_their_digests(tmp_path: Path) -> None:
    """And a run without any has the digests that it had before there was a table for them."""
    with Evidence(sqlite_at(tmp_path)) as evidence:
        run_id = write_run(evidence, [audited_shard("a.tar", 6)])
        before, tables = evidence.digest(run_id), evidence.table_digests(run_id)
        assert "outside_gallery" not in tables and len(tables) == 15
        evidence.write_outside(run_id, {"gone": Snapshot("a" * 64, 1, 1, 1, ())})
        evidence.write_outside(run_id, {"release-1": Snapshot("e" * 64, 12, 3, 9, ())})
        (found,) = evidence.read_run(run_id).outside
        assert (found.name, found.sha256, found.n_references, found.n_subjects) == ("release-1", "e" * 64, 12, 3)
        with_one, changed = evidence.digest(run_id), evidence.table_digests(run_id)
        assert with_one != before and changed.keys() - tables.keys() == {"outside_gallery"}
        evidence.write_outside(run_id, {"release-1": Snapshot("d" * 64, 12, 3, 9, ())})
        assert evidence.digest(run_id) != with_one
        evidence.write_outside(run_id, {})
        assert (evidence.digest(run_id), evidence.table_digests(run_id)) == (before, tables)


def test_a_database_of_the_second_revision_keeps_its_digests(tmp_path: Path) -> None:
    with Evidence(sqlite_at(tmp_path)) as evidence:
        run_id = write_run(evidence, [audited_shard("a.tar", 6)])
        before = (evidence.digest(run_id), evidence.table_digests(run_id))
    with create_engine(sqlite_at(tmp_path)).begin() as connection:
        command.downgrade(migration_config(connection), "0002")
    with Evidence(sqlite_at(tmp_path)) as evidence:
        assert (evidence.digest(run_id), evidence.table_digests(run_id)) == before


def test_one_edited_row_is_noticed(tmp_path: Path) -> None:
    with Evidence(sqlite_at(tmp_path)) as evidence:
        run_id = write_run(evidence, [audited_shard("a.tar", 6)])
        before = evidence.digest(run_id)
    with create_engine(sqlite_at(tmp_path)).begin() as connection:
        changed = connection.exec_driver_sql("UPDATE comparison SET similarity = similarity - 0.001 WHERE id = 1")
        assert changed.rowcount == 1
    with Evidence(sqlite_at(tmp_path)) as evidence:
        assert evidence.digest(run_id) != before


def test_faces_nobody_recorded_are_kept_apart_by_origin(tmp_path: Path) -> None:
    shard = audited_shard("a.tar", 2)
    first = shard.pictures[0]
    box = (1.0, 2.0, 3.0, 4.0)
    extra = (
        AuditedFace(first.ledger.sample_key, 0, FaceOrigin.GALLERY, "s", box, None, unchanged=True, pixel_change=0.0),
        AuditedFace(first.ledger.sample_key, 0, FaceOrigin.SECOND_DETECTOR, "", box, None, score=1.5),
    )
    pictures = (replace(first, faces=first.faces + extra), *shard.pictures[1:])
    with Evidence(sqlite_at(tmp_path)) as evidence:
        rows = evidence.read_run(write_run(evidence, [replace(shard, pictures=pictures)]))
    assert [(f.origin, f.unchanged, f.id.removeprefix(first.ledger.sample_key)) for f in rows.faces] == [
        (FaceOrigin.GALLERY, True, "#unrecorded0"),
        (FaceOrigin.LEDGER, False, "#0"),
        (FaceOrigin.SECOND_DETECTOR, None, "#seen0"),
    ]


def test_faces_of_withheld_pictures_keep_their_ledger_row(tmp_path: Path) -> None:
    shard = audited_shard("a.tar", 2)
    withheld = replace(
        shard.pictures[0],
        faces=(),
        examined=False,
        ledger=replace(shard.pictures[0].ledger, status=ImageStatus.QUARANTINED),
    )
    with Evidence(sqlite_at(tmp_path)) as evidence:
        rows = evidence.read_run(write_run(evidence, [replace(shard, pictures=(withheld,))]))
    assert [(f.decision, f.examined, f.mated) for f in rows.faces] == [("replaced", False, ())]


def test_no_column_could_hold_a_picture_or_a_template(tmp_path: Path) -> None:
    columns = [column for table in schema.METADATA.tables.values() for column in table.c]
    assert len(columns) > 80
    assert not [c for c in columns if "BLOB" in str(c.type) or "BINARY" in str(c.type)]
    assert not [c for c in columns if any(word in c.name for word in ("embedding", "pixels", "landmark"))]


def test_a_closed_sqlite_database_is_one_file(tmp_path: Path) -> None:
    with Evidence(sqlite_at(tmp_path)) as evidence:
        write_run(evidence, [audited_shard("a.tar", 3)])
    assert [path.name for path in tmp_path.iterdir()] == ["evidence.sqlite"]


def test_the_newest_run_of_an_output_is_found(tmp_path: Path) -> None:
    with Evidence(sqlite_at(tmp_path)) as evidence:
        assert evidence.latest_run(run_info().output_uri) is None
        write_run(evidence, [], run_info("late", started_at="2026-02-01T00:00:00Z"))
        write_run(evidence, [], run_info("early", started_at="2026-01-01T00:00:00Z"))
        assert evidence.latest_run(run_info().output_uri) == "late"


def test_an_unknown_run_is_said(tmp_path: Path) -> None:
    with Evidence(sqlite_at(tmp_path)) as evidence, pytest.raises(InputError, match="'nothing' is not in the evidence"):
        evidence.read_run("nothing")


@pytest.mark.parametrize("url", ["mysql://host/db", "no url at all", "mssql+pyodbc://x"])
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        Evidence(url)


def test_a_path_that_cannot_be_opened_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be opened"):
        Evidence(f"sqlite:///{tmp_path}/missing/evidence.sqlite")


def test_what_was_lost_reads_back(tmp_path: Path) -> None:
    account = Reconciliation(4, 2, 1, ("lost",), ("twice",), ("new",))
    with Evidence(sqlite_at(tmp_path)) as evidence:
        rows = evidence.read_run(write_run(evidence, [replace(audited_shard("a.tar", 2), account=account)]))
    assert rows.shards[0].account == account
