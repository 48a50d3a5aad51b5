"""A shard that breaks its worker is withheld whole, on the record, and stops nobody else."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cfanet.errors import CfanetError, StorageError
from jobs import pipeline, stages
from jobs.anonymize import AnonymizeWorker
from jobs.config import ReleaseConfig
from jobs.enrol import EnrolWorker
from jobs.manifest import read_manifest
from jobs.pipeline import ShardReport, ray_session
from jobs.progress import Progress
from jobs.quarantine import read_quarantine
from jobs.release import release
from jobs.run import open_run, read_run_record
from jobs.status import status
from jobs.storage import LocalStorage
from tests.jobs.fakes import KILLER, FakeTools, encoded, folder_digest, write_tar

Make = Callable[..., ReleaseConfig]


@pytest.fixture
def dataset(source: Path) -> Path:
    for shard in range(3):
        members = [(f"{shard}-{i}.png", encoded([i])) for i in range(1, 4)]
        write_tar(source / f"{shard}.tar", [*members, (f"{shard}-3.txt", b"caption"), ("stray", b"")])
    return source


def _failing(monkeypatch: pytest.MonkeyPatch, where: type, poison: bool, shards: tuple[str, ...] = ("1",)) -> list[str]:
    """Makes a stage fail for some shards; returns the list of its tries."""
    original, tries = stages.run_stage, []

    def run_stage(worker: Any, context: Any, items: Any) -> Any:
        for item in items:
            if worker is where and item.shard in shards:
                tries.append(item.shard)
                yield ShardReport(item.shard, None, "it is no good", poison)
            else:
                yield from original(worker, context, [item])

    monkeypatch.setattr("jobs.stages.run_stage", run_stage)
    return tries


@pytest.mark.usefixtures("inline")
@pytest.mark.parametrize("where", [EnrolWorker, AnonymizeWorker])
def test_the_rest_is_released_and_the_shard_is_accounted_for(
    dataset: Path, tmp_path: Path, make_config: Make, quiet: Progress, monkeypatch: pytest.MonkeyPatch, where: type
) -> None:
    config, released = make_config(run__max_withheld=0.5), LocalStorage(tmp_path / "released")
    release(config, quiet, FakeTools)
    tries = _failing(monkeypatch, where, poison=True)
    write_tar(dataset / "1.tar", [("1-1.png", encoded([1])), ("1-2.png", encoded([2])), ("1-2.txt", b"caption")])
    outcome = release(config, quiet, FakeTools)
    outcome.raise_for_status()
    assert tries == ["1", "1"]
    assert set(folder_digest(released.root)) == {"0.tar", "2.tar", "RELEASE.json"}
    manifest = read_manifest(released, "1")
    assert manifest is not None and (manifest.withheld, manifest.outputs) == ("it is no good", ())
    assert manifest.counts.quarantined == manifest.counts.pictures == 2
    assert [(w.picture, w.reason) for w in read_quarantine(released, "1")] == [
        ("1-1", "poison_shard"),
        ("1-2", "poison_shard"),
    ]
    assert (read_run_record(released) or {})["shards"] == {"planned": 3, "done": 2, "withheld": 1}
    found = status(str(released.root))
    assert (found.planned, found.done, found.withheld, found.left) == (3, 2, 1, 0)
    # The same command again leaves it alone; on request it is tried again.
    assert release(config, quiet, FakeTools).run.plan.todo == () and tries == ["1", "1"]
    monkeypatch.undo()
    again = open_run(make_config(run__max_withheld=0.5, run__retry_withheld=True), FakeTools)
    assert [item.shard for item in again.plan.todo] == ["1"]


@pytest.mark.usefixtures("inline")
def test_what_is_not_the_shards_fault_stops_the_run_and_keeps_what_is_done(
    dataset: Path, tmp_path: Path, make_config: Make, quiet: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = LocalStorage(tmp_path / "released")
    with monkeypatch.context() as patch:
        _failing(patch, AnonymizeWorker, poison=False)
        with pytest.raises(CfanetError, match="1 shards failed"):
            release(make_config(), quiet, FakeTools)
    assert read_manifest(released, "1") is None and read_manifest(released, "2") is not None
    with monkeypatch.context() as patch:
        _failing(patch, AnonymizeWorker, poison=True, shards=("0", "1", "2"))
        with pytest.raises(CfanetError, match="failed"):
            release(make_config(anonymize__angle_deg=30), quiet, FakeTools)
    assert not (tmp_path / "released/RELEASE.json").exists()


def test_storage_and_configuration_are_not_the_shards_fault() -> None:
    assert issubclass(StorageError, CfanetError)
    blamed = {
        "a": ShardReport[None]("a", None, "bad", poison=True),
        "b": ShardReport[None]("b", None, "io", poison=False),
    }
    with pytest.raises(CfanetError, match="'b'"):
        stages._poison("stage", blamed, 5)
    assert stages._poison("stage", {"a": blamed["a"]}, 5) == {"a": "bad"}


@pytest.mark.ray
@pytest.mark.usefixtures("inline")
def test_a_picture_that_kills_its_process_costs_its_shard_alone(
    source: Path, tmp_path: Path, make_config: Make, quiet: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anonymizing on Ray, where its worker may die; the other stages here: each would start one more worker."""
    here = stages.run_stage

    def run_stage(worker: Any, context: Any, items: Any) -> Iterator[ShardReport[Any]]:
        run = pipeline.run_stage if worker is AnonymizeWorker else here
        yield from run(worker, context, items)

    monkeypatch.setattr("jobs.stages.run_stage", run_stage)
    monkeypatch.setattr("jobs.release.ray_session", ray_session)
    for shard in range(3):
        write_tar(source / f"{shard}.tar", [(f"{shard}.png", encoded([KILLER if shard == 1 else 2]))])
    config = make_config(run__workers=1, run__max_task_retries=1, run__max_withheld=0.5)
    outcome = release(config, quiet, FakeTools)
    outcome.raise_for_status()
    assert outcome.run.withheld_shards == ["1"]
    assert "died 2 times" in outcome.run.manifests["1"].withheld
    assert set(folder_digest(tmp_path / "released")) == {"0.tar", "2.tar", "RELEASE.json"}
