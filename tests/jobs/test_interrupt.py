"""A killed job leaves no file under its final name that is not whole; running it again finishes the work."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from cfanet.seeds import SeedKey
from jobs.config import ReleaseConfig
from jobs.manifest import manifest_names, read_manifest
from jobs.plan import make_plan
from jobs.progress import Progress
from jobs.release import release
from jobs.storage import LocalStorage
from tests.jobs.fakes import FakeTools, encoded, folder_digest, read_tar, write_tar

_SHARDS, _PICTURES = 6, 4
_SCRIPT = """
import io, sys
from rich.console import Console
from jobs.config import load_config
from jobs.progress import Progress
from jobs.release import release
from tests.jobs.fakes import FakeSlowTools
source, destination, key, workers = sys.argv[1:]
values = {"source.uri": source, "destination.uri": destination, "run.key_file": key, "run.workers": int(workers)}
release(load_config(None, (), values), Progress(Console(file=io.StringIO())), FakeSlowTools)
"""


@contextlib.contextmanager
def _killed_at_the_end(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Kill the process, and then everything it started, by their ids."""
    started: list[psutil.Process] = []
    try:
        yield
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            started = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for child in started:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        psutil.wait_procs(started, timeout=10)


@pytest.mark.ray
def test_killed_in_the_middle(
    source: Path,
    tmp_path: Path,
    make_config: Callable[..., ReleaseConfig],
    quiet: Progress,
    inline: None,
) -> None:
    for shard in range(_SHARDS):
        members = [(f"{shard}-{i}.png", encoded([i + 1])) for i in range(_PICTURES)]
        write_tar(source / f"{shard}.tar", members)
    key = tmp_path / "key"
    key.write_bytes(b"0123456789abcdef")
    released = LocalStorage(tmp_path / "released")
    command = [sys.executable, "-c", _SCRIPT, str(source), str(released.root), str(key), "2"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(command, env=environment) as process, _killed_at_the_end(process):
        deadline = time.monotonic() + 240
        while len(list(manifest_names(released))) < 2:
            assert process.poll() is None and time.monotonic() < deadline, "the job ended before it could be killed"
            time.sleep(0.05)
    done = list(manifest_names(released))
    assert 2 <= len(done) < _SHARDS
    for path in released.root.glob("*.tar"):
        assert len(read_tar(path)) == _PICTURES, f"{path.name} has its name but is not whole"
    assert not (released.root / "RELEASE.json").exists()

    config = make_config(run__key_file=str(key))
    fingerprint = SeedKey.from_file(key).fingerprint
    assert len(make_plan(config, fingerprint).done) == len(done)
    release(config, quiet, FakeTools).raise_for_status()
    assert all(read_manifest(released, str(shard)) for shard in range(_SHARDS))
    assert not list(released.root.glob("_cfanet/tmp/*"))
    whole = make_config(run__key_file=str(key), destination__uri=str(tmp_path / "in one go"))
    release(whole, quiet, FakeTools)
    ours, theirs = folder_digest(released.root), folder_digest(tmp_path / "in one go")
    assert {n: d for n, d in ours.items() if n.endswith(".tar")} == {
        n: d for n, d in theirs.items() if n.endswith(".tar")
    }
