"""The one place that calls Ray: a stage is a worker class run over work items on a pool of actors.

One work item = one row = one block, so that items map to results one to one. Workers report errors as rows; a worker
that dies is started again and its item tried again a few times; an item that never comes back is reported as failed.
"""

import contextlib
import gc
import logging
import os
import pickle
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import ray
from ray._private import state as ray_state
from ray._private import worker as ray_worker

from cfanet.errors import CfanetError, ConfigError
from jobs.codecs.shard import WorkItem
from jobs.config import ReleaseConfig, RunSettings
from jobs.manifest import Counts
from jobs.metrics import Meters
from jobs.underway import Teller, board
from jobs.watchdog import watched_cluster
from jobs.worker import StageContext, Worker

log = logging.getLogger(__name__)
R = TypeVar("R")
_MOST_ROUNDS = 4  # times the allowed tries, where nodes keep going away: an item may be what kills them
_OBJECT_STORE_BYTES = 200_000_000  # rows are names and counts; pictures never enter the object store


@dataclass(frozen=True, eq=False)
class ShardReport(Generic[R]):
    """What came back for one item; `result` is None exactly when it failed."""

    shard: str
    result: R | None
    error: str = ""  # one sentence
    poison: bool = False  # the item itself is to blame, as far as one can tell: not the configuration, not the storage
    died: bool = False  # its worker process died on every try


def run_stage(worker: type[Worker[R]], context: StageContext, items: Sequence[WorkItem]) -> Iterator[ShardReport[R]]:
    """Run a worker class over items; yields one report an item, as they finish, and never loses one.

    What was lost with its worker is tried again when the others are done, `run.max_task_retries` times; a round in
    which the cluster lost a node counts against nobody. A configuration or weights error in a worker's constructor is
    raised: no item could have succeeded.
    """
    waiting = {item.shard: item for item in items}
    context = replace(context, config=context.config.for_workers())
    allowed, deaths, rounds = 1 + context.config.run.max_task_retries, 0, 0
    while waiting and deaths < allowed and rounds < _MOST_ROUNDS * allowed:
        nodes = _dead_nodes()
        for told in _outcomes(worker, context, list(waiting.values())):
            outcome = pickle.loads(told)
            if isinstance(outcome, CfanetError):
                raise outcome
            waiting.pop(outcome.shard, None)
            yield outcome
        rounds += 1
        deaths += _dead_nodes() == nodes
        if waiting:
            _make_room()
    for shard in sorted(waiting):
        yield ShardReport(shard, None, f"its worker process died {rounds} times (out of memory, perhaps)", True, True)


def _make_room() -> None:
    """End a finished round's actors: Ray keeps those whose errors somebody still holds, and the next round would wait.

    Ray has no public way to an actor without its handle, and the handles are Ray Data's own.
    """
    gc.collect()
    driver: Any = ray_worker.global_worker
    for actor_id, facts in ray_state.actors().items():
        ours = facts["JobID"] == driver.current_job_id.hex() and _ShardActor.__name__ in facts["ActorClassName"]
        if ours and facts["State"] != "DEAD":
            driver.core_worker.kill_actor(ray.ActorID(bytes.fromhex(actor_id)), True)


def _dead_nodes() -> int:
    return sum(not node["Alive"] for node in ray.nodes())  # type: ignore[no-untyped-call]


def _outcomes(worker: type[Worker[R]], context: StageContext, items: Sequence[WorkItem]) -> Iterator[bytes]:
    # The largest first: one that is left for the end would keep a single worker busy.
    ordered = sorted(items, key=lambda item: -sum(entry.size for entry in item.files))
    rows = [{"item": pickle.dumps(item)} for item in ordered]
    # One item at a time: a second one waiting at a worker that dies would lose its tries to the first.
    size = min(_workers(context.config.run), len(items))
    pool = ray.data.ActorPoolStrategy(size=size, max_tasks_in_flight_per_actor=1)
    parts = {"worker": worker, "context": context}
    with warnings.catch_warnings():
        # Ray 2.60 deprecates the only spelling of max_restarts and max_task_retries before it offers another.
        warnings.filterwarnings("ignore", message=".*ray_remote_args.*")
        dataset = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            _ShardActor, fn_constructor_kwargs=parts, batch_size=1, compute=pool, **_resources(context.config.run)
        )
    # Nothing fetched ahead: with one block ahead (`iter_rows`), what is finished is told only when the next one is.
    table: Any
    for table in dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        yield from table["outcome"].to_pylist()


def _workers(run: RunSettings) -> int:
    """As configured, or as many as the nodes have room for; ConfigError when none can hold one: Ray would wait."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    allowed = sum(_room(node, run) for node in nodes)
    if not allowed:
        gpus, cpus = max(((node.get("GPU", 0.0), node.get("CPU", 0.0)) for node in nodes), default=(0.0, 0.0))
        raise ConfigError(
            f"one worker needs {run.cpus_per_worker} CPUs and {run.gpus_per_worker:g} GPUs of one node, and the best "
            f"of {len(nodes)} nodes has {cpus:g} CPUs and {gpus:g} GPUs: set run.cpus_per_worker and "
            "run.gpus_per_worker so that it fits"
        )
    return run.workers or allowed


def _room(node: Mapping[str, float], run: RunSettings) -> int:
    """Workers that one node can hold."""
    room = node.get("CPU", 0.0) / run.cpus_per_worker
    if run.gpus_per_worker:
        room = min(room, node.get("GPU", 0.0) / run.gpus_per_worker)
    return int(room + 1e-6)  # three workers of a third of a GPU fit


def _resources(run: RunSettings) -> dict[str, Any]:
    # The pool must outlive a crash (max_restarts=-1). The tries are run_stage's: Ray spends its own within seconds on a
    # node that has just gone away, and they would keep the item waiting for a worker that may never find room again.
    return {
        "num_cpus": run.cpus_per_worker,
        "num_gpus": run.gpus_per_worker or None,
        "max_restarts": -1,
        "max_task_retries": 0,
    }


class _ShardActor:
    """Adapts a Worker to Ray Data: batches of one row in, batches of one row out, errors as values."""

    def __init__(self, worker: type[Worker[Any]], context: StageContext) -> None:
        import torch

        # Fixed, so that sums are rounded alike whatever the number of workers.
        torch.set_num_threads(context.config.run.cpus_per_worker)
        self._worker: Worker[Any] | None = None
        self._error: CfanetError | None = None
        self._meters, self._teller = Meters(worker.__name__.removesuffix("Worker").lower()), Teller(worker.__name__)
        try:
            self._worker = worker(replace(context, worked=self._worked))
        except CfanetError as error:
            self._error = error
        except Exception as error:  # Ray would start the actor again and again: hand the reason to the driver instead
            self._error = CfanetError(f"a worker could not start: {_last_line(error)}")

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        item: WorkItem = pickle.loads(batch["item"][0])
        if self._worker is None:
            return {"outcome": [pickle.dumps(self._error)]}
        self._teller.begin(item.shard)
        try:
            outcome = ShardReport(item.shard, self._worker.process(item))
        except Exception as error:  # becomes the item's status: nothing is swallowed
            log.debug("shard %s failed\n%s", item.shard, traceback.format_exc())
            outcome = ShardReport(item.shard, None, _last_line(error), not isinstance(error, CfanetError | OSError))
        self._teller.end()
        self._meters.ended("failed" if outcome.result is None else "done", getattr(outcome.result, "seconds", {}))
        return {"outcome": [pickle.dumps(outcome)]}

    def _worked(self, counts: Counts) -> None:
        self._meters.worked(counts)
        self._teller.worked(counts)


def _last_line(error: Exception) -> str:
    if isinstance(error, CfanetError):
        return str(error)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({os.path.basename(frame.filename)}:{frame.lineno})"


@contextlib.contextmanager
def ray_session(config: ReleaseConfig) -> Iterator[None]:
    """Use the cluster that is there (a submitted job, RAY_ADDRESS), or a private local one for the block."""
    _quieten()
    if ray.is_initialized():
        with board():
            yield
        return
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if not os.environ.get("RAY_ADDRESS"):
        quiet |= {
            "address": "local",
            "num_cpus": max(os.cpu_count() or 1, config.run.workers * config.run.cpus_per_worker),
            "include_dashboard": False,
            "object_store_memory": _OBJECT_STORE_BYTES,
        }
    with _without_native_stderr():
        _start(quiet)
    try:
        with watched_cluster(), board():
            yield
    finally:
        ray.shutdown()


def _start(options: Mapping[str, Any]) -> None:
    """Start or join the cluster; CfanetError where the machine is too busy to start one: Ray waits half a minute."""
    try:
        ray.init(**options)
    except Exception as error:
        if "timed out during startup" not in str(error):
            raise
        ray.shutdown()
        raise CfanetError(
            "Ray did not start within 30 s, because this machine is too busy: run the same command again, or when "
            "less is running; what is finished is kept"
        ) from error


@contextlib.contextmanager
def _without_native_stderr() -> Iterator[None]:
    """Drop what Ray's native code prints while it starts; a failure to start is a Python exception all the same."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _quieten() -> None:
    """The job reports progress itself; Ray keeps its own log files, and errors come back as rows."""
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    settings = ray.data.DataContext.get_current()
    settings.enable_progress_bars = False
    settings.print_on_execution_start = False
    settings.max_errored_blocks = -1  # an item whose worker always dies must not take the others with it
    settings.execution_no_progress_timeout_s = -1  # a large shard may take hours, and is one step to Ray
    for name in ("ray", "ray.data", "ray.data.dataset"):
        logging.getLogger(name).setLevel(logging.ERROR)
