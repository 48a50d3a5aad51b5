"""The driver's stages: failures are collected, said, and never mistaken for success."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from audit.gallery import read_shard
from cfanet.errors import CfanetError, ConfigError
from jobs import stages
from jobs.config import ReleaseConfig
from jobs.pipeline import ShardReport
from jobs.progress import Progress
from jobs.run import open_run
from tests.jobs.fakes import FakeRecognizer, FakeTools, encoded, write_tar

Make = Callable[..., ReleaseConfig]
pytestmark = pytest.mark.usefixtures("inline")


@pytest.fixture
def dataset(source: Path) -> None:
    """Two shards."""
    for shard in range(2):
        write_tar(source / f"{shard}.tar", [(f"{shard}.png", encoded([1, 2]))])


@pytest.mark.parametrize("failing", ["EnrolWorker", "AnonymizeWorker", "AuditWorker"])
def test_a_failed_shard_fails_its_stage_and_keeps_the_others(
    dataset: None, make_config: Make, quiet: Progress, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    original = stages.run_stage  # type: ignore[attr-defined]

    def run_stage(worker: Any, context: Any, items: Any) -> Iterator[ShardReport[Any]]:
        for outcome in original(worker, context, items):
            failed = worker.__name__ == failing and outcome.shard == "1"
            yield ShardReport("1", None, "its worker died") if failed else outcome

    monkeypatch.setattr(stages, "run_stage", run_stage)
    run = open_run(make_config(), FakeTools)
    with pytest.raises(CfanetError, match=r"1 shards failed, the first is '1' .its worker died") as error:
        snapshot = stages.enrol(run, quiet)
        bench = stages.calibrate_judges(run, quiet)
        stages.anonymize(run, quiet)
        stages.audit(run, snapshot, bench, quiet)
    assert error.value.exit_code == 1
    assert len(read_shard(Path(run.config.gallery_uri), "0")) == 1
    assert not (Path(run.storage.uri) / "RELEASE.json").exists()


def test_enrolled_shards_are_not_enrolled_again(
    dataset: None, make_config: Make, quiet: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = open_run(make_config(), FakeTools)
    first = stages.enrol(run, quiet)
    monkeypatch.setattr(FakeRecognizer, "embed", None)
    assert stages.enrol(run, quiet) == first
    assert first.n_references == 4 and run.context.gallery_digest == first.sha256


def test_a_missing_threshold_is_found_before_anything_is_anonymized(
    dataset: None, make_config: Make, quiet: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(self: FakeRecognizer, fmr: float) -> float:
        raise ConfigError("no threshold is known")

    run = open_run(make_config(), FakeTools)
    stages.enrol(run, quiet)
    monkeypatch.setattr(FakeRecognizer, "threshold", unknown)
    with pytest.raises(ConfigError, match="no threshold is known"):
        stages.calibrate_judges(run, quiet)
    assert not list(Path(run.storage.uri).glob("*.tar"))
