"""A full disk stops the run with its reason, leaves nothing under a final name that is not whole, and is made good."""

import errno
import pickle
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from cfanet.errors import CfanetError
from jobs.codecs.shard import WorkItem
from jobs.config import ReleaseConfig
from jobs.manifest import manifest_names
from jobs.pipeline import ShardReport, _ShardActor
from jobs.progress import Progress
from jobs.release import release
from jobs.storage import LocalStorage
from jobs.storage.base import HashingWriter
from jobs.worker import JobContext
from tests.jobs.fakes import FakeTools, encoded, folder_digest, read_tar, write_tar

Make = Callable[..., ReleaseConfig]
_SHARDS = 4


class FakeFullDisk:
    """Takes so many bytes, and then answers as a full disk does."""

    def __init__(self, room: int, monkeypatch: pytest.MonkeyPatch) -> None:
        write = HashingWriter.write
        left = [room]

        def limited(writer: HashingWriter, data: bytes) -> int:
            left[0] -= len(data)
            if left[0] < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return write(writer, data)

        monkeypatch.setattr(HashingWriter, "write", limited)


@pytest.fixture
def in_an_actor(monkeypatch: pytest.MonkeyPatch, inline: None) -> None:
    """Stages run in this process, as Ray's actors run them: an error becomes a report."""

    def run_stage(worker: Any, context: JobContext, items: Sequence[WorkItem]) -> Iterator[ShardReport[Any]]:
        actor = _ShardActor(worker, context) if items else None
        for item in items:
            assert actor is not None
            yield pickle.loads(actor({"item": [pickle.dumps(item)]})["outcome"][0])

    monkeypatch.setattr("jobs.stages.run_stage", run_stage)


@pytest.mark.usefixtures("in_an_actor")
@pytest.mark.parametrize("room", [3_000, 15_000, 40_000])
def test_a_full_disk_loses_nothing(
    source: Path, tmp_path: Path, make_config: Make, quiet: Progress, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    for shard in range(_SHARDS):
        write_tar(source / f"{shard}.tar", [(f"{shard}-{i}.png", encoded([i + 1])) for i in range(3)])
    (tmp_path / "key").write_bytes(b"0123456789abcdef")
    config, released = make_config(run__key_file=str(tmp_path / "key")), LocalStorage(tmp_path / "released")

    with monkeypatch.context() as patch:
        FakeFullDisk(room, patch)
        with pytest.raises((CfanetError, OSError), match="No space left on device"):
            release(config, quiet, FakeTools)
    done = list(manifest_names(released))
    assert len(done) < _SHARDS and not (released.root / "RELEASE.json").exists()
    assert all(len(read_tar(path)) == 3 for path in released.root.glob("*.tar")), "whole or absent"
    outcome = release(config, quiet, FakeTools)
    outcome.raise_for_status()
    assert len(outcome.run.manifests) == _SHARDS and outcome.run.withheld_shards == []
    whole = make_config(run__key_file=str(tmp_path / "key"), destination__uri=str(tmp_path / "in one go"))
    release(whole, quiet, FakeTools)
    ours, theirs = folder_digest(released.root), folder_digest(tmp_path / "in one go")
    assert [ours[f"{shard}.tar"] for shard in range(_SHARDS)] == [theirs[f"{shard}.tar"] for shard in range(_SHARDS)]
