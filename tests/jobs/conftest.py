"""Configurations and datasets for the tests of jobs/."""

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import ray
from rich.console import Console

from cfanet.seeds import SeedKey
from jobs.codecs.shard import WorkItem
from jobs.config import ReleaseConfig, load_config
from jobs.pipeline import ShardReport
from jobs.plan import read_source
from jobs.progress import Progress
from jobs.worker import JobContext
from tests.jobs.fakes import FakeTools
from tests.jobs.s3 import moto_server


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The address of a real S3 endpoint, empty at first, for one file of tests."""
    with moto_server() as address:
        yield address


@pytest.fixture(autouse=True)
def no_ray_by_mistake(request: pytest.FixtureRequest) -> Iterator[None]:
    """Who asks Ray anything starts one, which would stay for all tests that follow."""
    yield
    started = ray.is_initialized() and request.node.get_closest_marker("ray") is None
    if started:
        ray.shutdown()
    assert not started, "a test without the mark `ray` started one"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """An empty folder for originals."""
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


@pytest.fixture
def make_config(tmp_path: Path, source: Path) -> Callable[..., ReleaseConfig]:
    """Builds a configuration for `source` and `tmp_path`/released; keywords are dotted keys with __ for the dot."""

    def build(**values: Any) -> ReleaseConfig:
        dotted = {key.replace("__", "."): value for key, value in values.items()}
        places = {"source.uri": str(source), "destination.uri": str(tmp_path / "released"), "run.workers": 1}
        return load_config(None, (), places | dotted)

    return build


@pytest.fixture
def make_context() -> Callable[..., JobContext]:
    """Builds the context of a worker with the fakes."""

    def build(config: ReleaseConfig) -> JobContext:
        return JobContext(config, FakeTools, SeedKey(b"0123456789abcdef"), "run-1", config.digest(""))

    return build


@pytest.fixture
def items() -> Callable[[ReleaseConfig], tuple[WorkItem, ...]]:
    """Lists the work items of a configuration's source."""
    return lambda config: read_source(config)[1]


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs stages in this process, one item after the other, without Ray."""

    def run_stage(worker: Any, context: JobContext, items: Sequence[WorkItem]) -> Iterator[ShardReport[Any]]:
        built = worker(context) if items else None
        for item in items:
            yield ShardReport(item.shard, built.process(item))

    monkeypatch.setattr("jobs.stages.run_stage", run_stage)
    monkeypatch.setattr("jobs.release.ray_session", lambda config: nullcontext())


@pytest.fixture
def quiet() -> Progress:
    """Progress that nobody sees."""
    return Progress(Console(file=io.StringIO()))
