"""Counts of unfinished shards: told by workers on Ray, forgotten when a shard ends, and never waited for."""

import threading
import time
from collections.abc import Callable

import pytest

from jobs import underway
from jobs.codecs.shard import WorkItem
from jobs.config import ReleaseConfig
from jobs.manifest import Counts
from jobs.pipeline import ray_session, run_stage
from jobs.worker import JobContext, StageContext

pytestmark = pytest.mark.ray
Make = Callable[..., ReleaseConfig]


class FakeSteadyWorker:
    """Works on five pictures, and then waits."""

    def __init__(self, context: StageContext) -> None:
        self._context = context

    def process(self, item: WorkItem) -> str:
        underway._EVERY_S = 0.0  # this worker's own copy
        for _ in range(5):
            self._context.worked(Counts(pictures=1, faces=2))
        time.sleep(2.5)
        return item.shard


def test_a_board_keeps_the_last_word_about_each_shard() -> None:
    board = underway._Board()
    board.tell("A", "0", {"pictures": 3})
    board.tell("A", "1", {"pictures": 2, "faces": 1})
    board.tell("B", "0", {"pictures": 100})
    board.tell("A", "0", {"pictures": 5})
    assert board.sums("A") == {"pictures": 7, "faces": 1}
    board.forget("A", "0")
    board.forget("A", "never told")
    assert board.sums("A") == {"pictures": 2, "faces": 1} and board.sums("C") == {}


def test_without_ray_nobody_knows() -> None:
    assert underway.underway("FakeSteadyWorker") == Counts()


def test_the_driver_sees_what_workers_are_busy_with(make_config: Make, make_context: Callable[..., JobContext]) -> None:
    config = make_config()
    items = [WorkItem(str(number), "webdataset", (), "") for number in range(2)]
    seen: list[Counts] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.2):
            seen.append(underway.underway("FakeSteadyWorker"))

    with ray_session(config):
        watcher = threading.Thread(target=look)
        watcher.start()
        reports = list(run_stage(FakeSteadyWorker, make_context(config), items))
        over.set()
        watcher.join()
        assert {report.result for report in reports} == {"0", "1"}
        assert Counts(pictures=5, faces=10) in seen and max(one.pictures for one in seen) == 5
        assert underway.underway("FakeSteadyWorker") == Counts()
