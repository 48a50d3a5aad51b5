"""Clusters of several nodes: workers go where their GPUs are, and a node that goes away takes nothing with it."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster

from jobs.codecs.shard import WorkItem
from jobs.config import ReleaseConfig
from jobs.manifest import manifest_names
from jobs.pipeline import run_stage
from jobs.progress import Progress
from jobs.release import release
from jobs.storage import open_storage
from jobs.worker import JobContext
from tests.jobs.fakes import FakeTools, encoded, folder_digest, write_tar
from tests.jobs.test_interrupt import FakeSlowTools

Make = Callable[..., ReleaseConfig]
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


def test_a_node_that_goes_away_in_the_middle_costs_time_and_nothing_else(
    cluster: Cluster, source: Path, tmp_path: Path, make_config: Make, quiet: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    for shard in range(6):
        write_tar(source / f"{shard}.tar", [(f"{shard}-{i}.png", encoded([i + 1])) for i in range(3)])
    (tmp_path / "key").write_bytes(b"0123456789abcdef")
    config = make_config(run__key_file=str(tmp_path / "key"), run__workers=2)
    node = cluster.add_node(num_cpus=1, object_store_memory=_OBJECTS)
    released = open_storage(config.destination.uri)

    def remove() -> None:
        while not list(manifest_names(released)):
            time.sleep(0.05)
        cluster.remove_node(node, allow_graceful=False)

    thread = threading.Thread(target=remove)
    thread.start()
    outcome = release(config, quiet, FakeSlowTools)
    thread.join()
    outcome.raise_for_status()
    assert (len(outcome.run.manifests), outcome.run.withheld_shards) == (6, [])
    with monkeypatch.context() as patch:
        patch.setenv("RAY_ADDRESS", cluster.address)
        whole = make_config(run__key_file=str(tmp_path / "key"), destination__uri=str(tmp_path / "in one go"))
        release(whole, quiet, FakeTools)
    ours, theirs = folder_digest(tmp_path / "released"), folder_digest(tmp_path / "in one go")
    assert len(theirs) == 7
    assert {n: d for n, d in ours.items() if n.endswith(".tar")} == {
        n: d for n, d in theirs.items() if n.endswith(".tar")
    }
