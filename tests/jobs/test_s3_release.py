"""S3 → S3: the whole job over real HTTP, equal to the local one byte for byte, whatever the network does."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.config import ReleaseConfig
from jobs.manifest import Manifest
from jobs.progress import Progress
from jobs.query import answer
from jobs.release import audit, release, report
from jobs.status import status
from jobs.storage import S3Storage
from jobs.verify import verify
from tests.jobs.fakes import FakeTools, encoded, folder_digest, write_tar
from tests.jobs.s3 import ACCESS, SECRET, Bucket, FaultyProxy, variables
from tests.jobs.test_interrupt import _SCRIPT, _killed_at_the_end

Make = Callable[..., ReleaseConfig]
_SHARDS = 4


@pytest.fixture
def bucket(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    for name, value in variables(endpoint).items():
        monkeypatch.setenv(name, value)
    return Bucket(endpoint, f"bucket-{tmp_path.name.replace('_', '-').lower()}"[:60].rstrip("-"))


@pytest.fixture
def key(tmp_path: Path) -> str:
    (tmp_path / "key").write_bytes(b"0123456789abcdef")
    return str(tmp_path / "key")


@pytest.fixture
def dataset(source: Path, bucket: Bucket) -> Path:
    """The same shards in a folder and in the bucket under in/."""
    for shard in range(_SHARDS):
        members = [(f"{shard}-{i}.png", encoded([i + 1] * (i % 3))) for i in range(5)]
        members += [(f"{shard}-broken.png", b""), (f"{shard}-4.txt", b"caption")]
        write_tar(source / f"{shard}.tar", members)
        bucket.put(f"in/{shard}.tar", (source / f"{shard}.tar").read_bytes())
    return source


def _config(make_config: Make, bucket: Bucket, key: str, **more: object) -> ReleaseConfig:
    places = {"source__uri": f"s3://{bucket.name}/in", "destination__uri": f"s3://{bucket.name}/out"}
    return make_config(**places, run__key_file=key, run__max_withheld=1.0, **more)


def _local(make_config: Make, key: str, quiet: Progress, tmp_path: Path) -> dict[str, str]:
    """Digests of the same release from folder to folder."""
    release(make_config(run__key_file=key, run__max_withheld=1.0), quiet, FakeTools).raise_for_status()
    return {name: digest for name, digest in folder_digest(tmp_path / "released").items() if name.endswith(".tar")}


def _shards(bucket: Bucket, tmp_path: Path) -> dict[str, str]:
    place = tmp_path / "fetched"
    for name in bucket.names("out/"):
        if name.endswith(".tar"):
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(bucket.get(name))
    return folder_digest(place / "out")


def _reading_changes_nothing(bucket: Bucket, config: ReleaseConfig) -> None:
    """Verification and queries only read: credentials without the right to write must do."""
    before = {name: bucket.client.head_object(Bucket=bucket.name, Key=name)["ETag"] for name in bucket.names()}
    assert verify(config).sealed and answer(config, "verdicts").row_count == 1
    after = {name: bucket.client.head_object(Bucket=bucket.name, Key=name)["ETag"] for name in bucket.names()}
    assert after == before


@pytest.mark.usefixtures("inline")
def test_a_release_from_bucket_to_bucket_is_the_local_one(
    dataset: Path, bucket: Bucket, key: str, make_config: Make, quiet: Progress, tmp_path: Path
) -> None:
    config = _config(make_config, bucket, key)
    outcome = release(config, quiet, FakeTools)
    outcome.raise_for_status()
    expected = _local(make_config, key, quiet, tmp_path)
    assert len(expected) == _SHARDS and _shards(bucket, tmp_path) == expected
    seal = json.loads(bucket.get("out/RELEASE.json"))
    assert seal["shards"] == expected
    stored = set(bucket.names("out/"))
    assert {f"out/{name}" for name in seal["evidence"]} < stored
    private = {"report.html", "report.json", "evidence.sqlite", "run.json", "ledger/0.parquet", "quarantine/0.jsonl"}
    assert {f"out/_cfanet/{name}" for name in private} <= stored
    manifest = Manifest.model_validate_json(bucket.get("out/_cfanet/manifest/0.json"))
    assert [output.sha256 for output in manifest.outputs] == [expected["0.tar"]]
    assert "out.gallery/pseudonyms.key" in bucket.names() and "out.gallery/snapshot.json" in bucket.names()
    found = status(config.destination.uri)
    assert (found.planned, found.left, found.sealed) == (_SHARDS, 0, True)
    assert outcome.report_uri == f"s3://{bucket.name}/out/_cfanet/report.html"
    everything = b"".join(map(bucket.get, bucket.names()))
    assert SECRET.encode() not in everything and ACCESS.encode() not in everything
    _reading_changes_nothing(bucket, config)
    # Judged again from what was stored, and reported again from the stored evidence.
    before = bucket.client.head_object(Bucket=bucket.name, Key="out/0.tar")["ETag"]
    assert audit(config, quiet, FakeTools).verdict is not None
    bucket.client.delete_object(Bucket=bucket.name, Key="out/_cfanet/report.html")
    assert report(config, FakeTools).run.context.run_id == outcome.run.context.run_id
    assert "out/_cfanet/report.html" in bucket.names()
    assert release(config, quiet, FakeTools).run.plan.todo == ()
    assert bucket.client.head_object(Bucket=bucket.name, Key="out/0.tar")["ETag"] == before


@pytest.mark.usefixtures("inline")
def test_a_shard_that_changed_in_the_bucket_is_made_again(
    dataset: Path, bucket: Bucket, key: str, make_config: Make, quiet: Progress
) -> None:
    config = _config(make_config, bucket, key)
    release(config, quiet, FakeTools)
    bucket.put("in/1.tar", bucket.get("in/2.tar"))
    assert [item.shard for item in release(config, quiet, FakeTools).run.plan.todo] == ["1"]


@pytest.mark.usefixtures("inline")
def test_a_bad_network_loses_nothing(
    dataset: Path,
    bucket: Bucket,
    key: str,
    make_config: Make,
    quiet: Progress,
    tmp_path: Path,
    endpoint: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with FaultyProxy(endpoint, share=0.1, seed=7) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        release(_config(make_config, bucket, key), quiet, FakeTools).raise_for_status()
    assert sum(proxy.counts[kind] for kind in ("500", "503", "cut", "lost", "slow")) >= 10, proxy.counts
    assert _shards(bucket, tmp_path) == _local(make_config, key, quiet, tmp_path)
    assert bucket.uploads() == 0


def _nothing_secret_in(logs: Path) -> None:
    """Of a whole run, the workers' included."""
    files = [path for path in logs.rglob("*") if path.is_file() and not path.is_symlink()]
    written = b"".join(path.read_bytes() for path in files)
    shutil.rmtree(logs, ignore_errors=True)
    assert len(files) > 10 and len(written) > 10_000
    assert SECRET.encode() not in written and ACCESS.encode() not in written


@pytest.mark.ray
def test_a_killed_driver_leaves_whole_objects_and_is_finished_by_another(
    dataset: Path, bucket: Bucket, key: str, make_config: Make, quiet: Progress, tmp_path: Path, inline: None
) -> None:
    uri = f"s3://{bucket.name}"
    command = [sys.executable, "-c", _SCRIPT, f"{uri}/in", f"{uri}/out", key, "1"]
    logs = tempfile.mkdtemp(prefix="rj", dir="/tmp")  # short: Ray puts sockets there
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "RAY_TMPDIR": logs}
    with subprocess.Popen(command, env=environment) as process, _killed_at_the_end(process):
        deadline = time.monotonic() + 240
        while not bucket.names("out/_cfanet/manifest/"):
            assert process.poll() is None and time.monotonic() < deadline, "the job ended before it could be killed"
            time.sleep(0.05)
    _nothing_secret_in(Path(logs))
    done = bucket.names("out/_cfanet/manifest/")
    assert 1 <= len(done) < _SHARDS and "out/RELEASE.json" not in bucket.names()
    expected = _local(make_config, key, quiet, tmp_path)
    for name, digest in _shards(bucket, tmp_path).items():
        assert digest == expected[name], f"{name} has its name but is not whole"
    config = _config(make_config, bucket, key)
    assert status(config.destination.uri).left == _SHARDS - len(done)
    outcome = release(config, quiet, FakeTools)
    outcome.raise_for_status()
    assert len(outcome.run.plan.todo) == _SHARDS - len(done)
    assert _shards(bucket, tmp_path) == expected
    assert bucket.uploads() == 0 and S3Storage(f"{uri}/out").entry("RELEASE.json") is not None
