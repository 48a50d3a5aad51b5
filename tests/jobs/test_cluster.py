"""Clusters of several nodes: workers go where their GPUs are, and a node that goes away takes nothing with it."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import ray
from ray.cluster_utils import Cluster

from audit.gallery import seal
from jobs.anonymize import AnonymizeWorker
from jobs.codecs.shard import WorkItem
from jobs.config import ReleaseConfig
from jobs.enrol import EnrolWorker
from jobs.gallery_store import GalleryStore
from jobs.manifest import manifest_names
from jobs.pipeline import run_stage
from jobs.progress import Progress
from jobs.release import release
from jobs.run import open_run
from jobs.storage import open_storage
from jobs.worker import JobContext
from tests.jobs.fakes import FakeSlowTools, FakeTools, encoded, folder_digest, write_tar

pytestmark = pytest.mark.ray
Make = Callable[..., ReleaseConfig]
_SHARDS = 8
_OBJECTS = 80_000_000  # bytes of each node's object store


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head that has processors but no GPU and takes no work, and two nodes that do."""
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": _OBJECTS})
    try:
        nodes.add_node(num_cpus=1, object_store_memory=_OBJECTS)
        ray.init(address=nodes.address, logging_level="error", log_to_driver=False)
        yield nodes
    finally:
        ray.shutdown()
        nodes.shutdown()


class FakeSomewhereWorker:
    """Says where it runs, and on which GPUs."""

    def __init__(self, context: JobContext) -> None:
        """Load nothing."""

    def process(self, item: WorkItem) -> tuple[str, tuple[int, ...]]:
        time.sleep(0.5)
        return ray.get_runtime_context().get_node_id(), tuple(ray.get_gpu_ids())


def test_workers_go_where_the_gpus_are_and_share_them_as_configured(
    cluster: Cluster, make_config: Make, make_context: Callable[..., JobContext]
) -> None:
    node = cluster.add_node(num_cpus=4, num_gpus=1, object_store_memory=_OBJECTS)
    try:
        context = make_context(make_config(run__gpus_per_worker=0.5, run__workers=0))
        items = [WorkItem(str(number), "webdataset", (), "") for number in range(6)]
        reports = list(run_stage(FakeSomewhereWorker, context, items))
    finally:
        cluster.remove_node(node)
    assert [report.error for report in reports] == [""] * 6
    assert {report.result for report in reports} == {(node.node_id, (0,))}


def _kill_a_worker() -> None:
    """SIGKILL for a process that is working on a shard."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if " ".join(process.cmdline()).startswith("ray::MapWorker(MapBatches(_ShardActor)).submit"):
                    process.kill()
                    return
    pytest.fail("there was no worker to kill")


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_a_killed_worker_and_a_node_that_goes_away_cost_time_and_nothing_else(
    cluster: Cluster, source: Path, tmp_path: Path, make_config: Make, quiet: Progress
) -> None:
    for shard in range(_SHARDS):
        write_tar(source / f"{shard}.tar", [(f"{shard}-{i}.png", encoded([i + 1])) for i in range(3)])
    (tmp_path / "key").write_bytes(b"0123456789abcdef")
    config = make_config(run__key_file=str(tmp_path / "key"), run__workers=2)
    node = cluster.add_node(num_cpus=1, object_store_memory=_OBJECTS)
    released = open_storage(config.destination.uri)
    done: list[str] = []

    def disturb() -> None:
        while not list(manifest_names(released)):
            time.sleep(0.05)
        _kill_a_worker()
        done.append("killed")
        while len(list(manifest_names(released))) < 3:
            time.sleep(0.05)
        cluster.remove_node(node, allow_graceful=False)
        done.append("removed")

    thread = threading.Thread(target=disturb)
    thread.start()
    outcome = release(config, quiet, FakeSlowTools)
    thread.join()
    outcome.raise_for_status()
    assert done == ["killed", "removed"]
    assert (len(outcome.run.manifests), outcome.run.withheld_shards) == (_SHARDS, [])
    assert outcome.run.counts.anonymized == outcome.run.counts.pictures == 3 * _SHARDS
    # Undisturbed, in one process, and without Ray.
    whole = open_run(
        make_config(run__key_file=str(tmp_path / "key"), destination__uri=str(tmp_path / "whole")), FakeTools
    )
    enrolment = EnrolWorker(whole.context)
    for item in whole.plan.items:
        enrolment.process(item)
    with GalleryStore(whole.config.gallery_uri).whole() as folder:
        whole.seal(seal(folder).sha256)
    worker = AnonymizeWorker(whole.context)
    for item in whole.plan.items:
        worker.process(item)
    ours, theirs = folder_digest(tmp_path / "released"), folder_digest(tmp_path / "whole")
    assert len(theirs) == _SHARDS
    assert {name: ours[name] for name in theirs} == theirs
