"""Where the evidence is: SQLite lies on a disk, never in an object store."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from cfanet.errors import ConfigError, InputError
from jobs.config import ReleaseConfig
from jobs.evidence_file import EVIDENCE_FILE, check_database, evidence_url, stored_evidence
from jobs.storage import LocalStorage, S3Storage
from tests.jobs.s3 import Bucket, moto_server, variables

Make = Callable[..., ReleaseConfig]


@pytest.mark.parametrize("url", ["sqlite:///s3://bucket/evidence.sqlite", "sqlite://", "sqlite:///:memory:"])
def test_sqlite_where_it_cannot_work_is_refused(make_config: Make, url: str) -> None:
    with pytest.raises(ConfigError, match="postgresql://"):
        check_database(make_config(run__database=url))
    check_database(make_config(run__database="postgresql://host/evidence"))
    check_database(make_config(run__database="sqlite:////data/evidence.sqlite"))
    check_database(make_config())


def test_a_local_destination_holds_it_itself(make_config: Make, tmp_path: Path) -> None:
    destination = LocalStorage(tmp_path / "re?leased")
    with evidence_url(make_config(), destination) as url:
        assert make_url(url).database == str(tmp_path / "re?leased" / EVIDENCE_FILE)
    with evidence_url(make_config(run__database="postgresql://h/e"), destination) as url:
        assert url == "postgresql://h/e"


def test_for_a_bucket_it_is_written_here_and_copied_there(make_config: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    with moto_server() as endpoint:
        for name, value in variables(endpoint).items():
            monkeypatch.setenv(name, value)
        bucket, destination = Bucket(endpoint, "evidence"), S3Storage("s3://evidence/out")
        for round_ in range(2):
            with evidence_url(make_config(), destination) as url:
                path = Path(str(make_url(url).database))
                with sqlite3.connect(path) as database:
                    database.execute("CREATE TABLE IF NOT EXISTS t (n)")
                    assert database.execute("SELECT count(*) FROM t").fetchone() == (round_,)
                    database.execute("INSERT INTO t VALUES (1)")
                database.close()
            assert not path.exists()
        before = bucket.get(f"out/{EVIDENCE_FILE}")
        with pytest.raises(RuntimeError), evidence_url(make_config(), destination):
            raise RuntimeError
        assert bucket.get(f"out/{EVIDENCE_FILE}") == before
        with stored_evidence(make_config(), destination) as url:
            Path(str(make_url(url).database)).write_bytes(b"scribbled on")
        assert bucket.get(f"out/{EVIDENCE_FILE}") == before


def test_evidence_that_is_not_there_is_not_made(make_config: Make, tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="run `cfanet audit` first"),
        stored_evidence(make_config(), LocalStorage(tmp_path)),
    ):
        pytest.fail("there is nothing to read")
    assert not list(tmp_path.rglob("*.sqlite*"))
