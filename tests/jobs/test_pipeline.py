"""Ray: every item comes back once, errors are values, and a worker that dies takes nobody with it."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cfanet.errors import CfanetError, ConfigError
from jobs.codecs.shard import WorkItem
from jobs.config import ReleaseConfig
from jobs.pipeline import ray_session, run_stage
from jobs.worker import JobContext

pytestmark = pytest.mark.ray
ITEMS = tuple(WorkItem(str(number), "webdataset", (), "") for number in range(6))


class FakeWorker:
    """Doubles the item's number; 3 fails, 4 kills the process."""

    def __init__(self, context: JobContext) -> None:
        import torch

        self._threads = torch.get_num_threads()

    def process(self, item: WorkItem) -> tuple[int, int]:
        if item.shard == "3":
            raise ValueError("three is no good")
        if item.shard == "4":
            os._exit(1)
        return 2 * int(item.shard), self._threads


class FakeWaitingWorker:
    """Says "told" when the file of the item's name appears within ten seconds; an item without a name ends at once."""

    def __init__(self, context: JobContext) -> None:
        pass

    def process(self, item: WorkItem) -> str:
        deadline = time.monotonic() + 10
        while item.shard and not Path(item.shard).exists():
            if time.monotonic() > deadline:
                return "in vain"
            time.sleep(0.05)
        return "told"


class FakeBrokenWorker:
    """Cannot start."""

    def __init__(self, context: JobContext) -> None:
        raise ConfigError("unknown recognizer 'x': use dlib")

    def process(self, item: WorkItem) -> int:
        raise NotImplementedError


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """One local Ray for this file."""
    from jobs.config import load_config

    with ray_session(load_config(None, ["run.workers=2"])):
        yield


@pytest.fixture
def context(
    cluster: None, make_config: Callable[..., ReleaseConfig], make_context: Callable[..., JobContext]
) -> JobContext:
    return make_context(make_config(run__workers=2, run__max_task_retries=1))


def test_every_item_comes_back_once(context: JobContext) -> None:
    reports = {report.shard: report for report in run_stage(FakeWorker, context, ITEMS)}
    assert sorted(reports) == [item.shard for item in ITEMS]
    assert {shard: report.result for shard, report in reports.items() if report.result} == {
        "0": (0, 1),
        "1": (2, 1),
        "2": (4, 1),
        "5": (10, 1),
    }
    assert "three is no good" in reports["3"].error and "ValueError" in reports["3"].error
    assert "died 2 times" in reports["4"].error and reports["4"].poison and reports["3"].poison


def test_what_is_finished_is_told_at_once(context: JobContext, tmp_path: Path) -> None:
    sign = tmp_path / "sign"
    results: dict[str, str | None] = {}
    items = [WorkItem(shard, "webdataset", (), "") for shard in ("", str(sign))]
    for report in run_stage(FakeWaitingWorker, context, items):
        results[report.shard] = report.result
        sign.touch()  # the driver knows of one: the other may end
    assert results == {"": "told", str(sign): "told"}


def test_a_worker_that_cannot_start_is_the_callers_error(context: JobContext) -> None:
    with pytest.raises(ConfigError, match="use dlib"):
        list(run_stage(FakeBrokenWorker, context, ITEMS))


def test_no_items_need_no_workers(context: JobContext) -> None:
    assert list(run_stage(FakeBrokenWorker, context, ())) == []


def test_workers_that_fit_nowhere_are_an_error(
    cluster: None, make_config: Callable[..., ReleaseConfig], make_context: Callable[..., JobContext]
) -> None:
    for key, value in (("run__gpus_per_worker", 1.0), ("run__cpus_per_worker", 256)):
        with pytest.raises(ConfigError, match=r"the best of 1 nodes has \d+ CPUs and 0 GPUs"):
            list(run_stage(FakeWorker, make_context(make_config(**{key: value})), ITEMS))


def test_a_machine_too_busy_for_ray_is_one_sentence(
    make_config: Callable[..., ReleaseConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fake_init(**options: object) -> None:
        raise Exception("The current node timed out during startup. This could happen because …")

    monkeypatch.setattr("jobs.pipeline.ray.init", fake_init)
    monkeypatch.setattr("jobs.pipeline.ray.shutdown", lambda: None)
    monkeypatch.setattr("jobs.pipeline.ray.is_initialized", lambda: False)
    session = ray_session(make_config())
    with pytest.raises(CfanetError, match=r"^Ray did not start within 30 s.*: run the same command again"), session:
        pytest.fail("there is no cluster")
