"""What workers have done of the items they are still busy with: they tell every second, and the driver asks.

A shard may take hours, and a bar that counts shards says nothing until then. This is for people only: nothing rests on
these counts, so nobody waits for them, and one that is lost is replaced by the next. One small actor a job keeps them.
"""

import contextlib
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from jobs.manifest import Counts

_EVERY_S = 1.0
_PATIENCE_S = 2.0


class _Board:
    """Counts by stage and shard; a shard that is tried again begins anew, one that ended is forgotten."""

    def __init__(self) -> None:
        self._told: dict[str, dict[str, dict[str, int]]] = {}

    def tell(self, stage: str, shard: str, counts: dict[str, int]) -> None:
        """What was done of a shard so far."""
        self._told.setdefault(stage, {})[shard] = counts

    def forget(self, stage: str, shard: str) -> None:
        """A shard ended: its report has the counts."""
        self._told.get(stage, {}).pop(shard, None)

    def sums(self, stage: str) -> dict[str, int]:
        """Over all shards that are being worked on."""
        found: Counter[str] = Counter()
        for counts in self._told.get(stage, {}).values():
            found.update(counts)
        return dict(found)


@contextlib.contextmanager
def board() -> Iterator[None]:
    """For the block, have this job's board, beside the driver."""
    near = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    options = {"num_cpus": 0, "max_restarts": -1, "scheduling_strategy": near, "get_if_exists": True}
    actor = ray.remote(_Board).options(name=_name(), **options).remote()
    try:
        yield
    finally:
        del actor  # ends with the last handle of the process that started it


def underway(stage: str) -> Counts:
    """Sums over what a stage's workers are busy with; zeros where nobody knows."""
    if not ray.is_initialized():
        return Counts()
    try:
        board: Any = ray.get_actor(_name())
        return Counts(**ray.get(board.sums.remote(stage), timeout=_PATIENCE_S))
    except (ValueError, RayError):  # no board, or it is just being started again
        return Counts()


class Teller:
    """A worker's side."""

    def __init__(self, stage: str) -> None:
        """Tell about `stage`."""
        self._stage = stage
        self._shard, self._counts, self._last = "", Counts(), 0.0
        self._board: Any = None
        if ray.is_initialized():  # else nobody watches, and to ask would start a Ray
            with contextlib.suppress(ValueError):  # this job has no board
                self._board = ray.get_actor(_name())

    def begin(self, shard: str) -> None:
        """An item begins."""
        self._shard, self._counts, self._last = shard, Counts(), time.monotonic()

    def worked(self, counts: Counts) -> None:
        """Some pictures more."""
        self._counts += counts
        if self._board is not None and time.monotonic() - self._last >= _EVERY_S:
            self._last = time.monotonic()
            self._board.tell.remote(self._stage, self._shard, self._counts.model_dump())

    def end(self) -> None:
        """The item ended, however."""
        if self._board is not None:
            self._board.forget.remote(self._stage, self._shard)


def _name() -> str:
    return f"cfanet-underway-{ray.get_runtime_context().get_job_id()}"
