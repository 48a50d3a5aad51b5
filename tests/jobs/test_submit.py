"""`ray job submit` against a real head: the same job as on the command line, with the real networks."""

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import psutil
import pytest
from PIL import Image

from jobs.status import status
from tests.jobs.fakes import read_tar, write_tar

_SHARDS, _PICTURES = 4, 6
_ROOT = Path(__file__).parents[2]
_BIN = Path(sys.executable).parent
_ENVIRONMENT = {
    **os.environ,
    "PATH": f"{_BIN}{os.pathsep}{os.environ['PATH']}",
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_metrics_report_interval_ms": "500",
}
_CONFIG = """
[source]
uri = {source!r}
[destination]
uri = {destination!r}
[anonymize]
method = "mask"
[run]
workers = 1
"""


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


@pytest.fixture
def cluster() -> Iterator[tuple[str, str]]:
    """The addresses of a head of its own, and of its metrics; its processes are killed at the end."""
    # A short path: Ray puts sockets there, and their names are limited to 107 bytes.
    with tempfile.TemporaryDirectory(prefix="rj", dir="/tmp", ignore_cleanup_errors=True) as folder:
        port, dashboard, agent, metrics = _free_ports(4)
        command = [
            str(_BIN / "ray"), "start", "--head", f"--port={port}", f"--dashboard-port={dashboard}",
            f"--dashboard-agent-listen-port={agent}", f"--metrics-export-port={metrics}", "--num-cpus=2",
            "--object-store-memory=200000000",
            f"--temp-dir={folder}", "--disable-usage-stats", "--include-dashboard=true",
        ]  # fmt: skip
        try:
            subprocess.run(command, env=_ENVIRONMENT, check=True, capture_output=True, timeout=120)
            yield f"http://127.0.0.1:{dashboard}", f"http://127.0.0.1:{metrics}"
        finally:
            _kill_processes_of(folder)


def _kill_processes_of(folder: str) -> None:
    ours = []
    for process in psutil.process_iter(["pid", "cmdline"]):
        if any(folder in part for part in process.info["cmdline"] or ()):
            ours.append(process)
            ours += process.children(recursive=True)
    for process in ours:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    psutil.wait_procs(ours, timeout=10)


def _submit(address: str, *options: str, config: Path) -> subprocess.CompletedProcess[str]:
    command = [
        str(_BIN / "ray"), "job", "submit", f"--address={address}", f"--working-dir={_ROOT}", *options,
        "--", "python", "-m", "jobs.release", str(config),
    ]  # fmt: skip
    return subprocess.run(command, env=_ENVIRONMENT, capture_output=True, text=True, timeout=500, check=False)


def _log(address: str, job: str) -> str:
    with urllib.request.urlopen(f"{address}/api/jobs/{job}/logs", timeout=30) as answer:
        return str(json.load(answer)["logs"])[-4000:]


def _stop(address: str, job: str) -> None:
    """What `ray job stop` does, without the seconds that its start takes: SIGTERM, and SIGKILL 3 s later."""
    urllib.request.urlopen(urllib.request.Request(f"{address}/api/jobs/{job}/stop", method="POST"), timeout=30).close()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"{address}/api/jobs/{job}", timeout=30) as answer:
            if json.load(answer)["status"] == "STOPPED":
                return
        time.sleep(0.1)
    pytest.fail("the job was not stopped")


@contextlib.contextmanager
def _exported(metrics: str) -> Iterator[set[str]]:
    """Every line about us that the node exports for Prometheus during the block; workers come and go."""
    seen: set[str] = set()
    stop = threading.Event()

    def scrape() -> None:
        while not stop.wait(0.5):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{metrics}/metrics", timeout=10) as answer:
                seen.update(line for line in answer.read().decode().splitlines() if "cfanet_" in line)

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def _values(lines: set[str], *parts: str) -> list[float]:
    return [float(line.rpartition(" ")[2]) for line in lines if all(part in line for part in parts)]


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_a_submitted_job_is_stopped_and_finished_by_another_one(cluster: tuple[str, str], tmp_path: Path) -> None:
    address, metrics = cluster
    portrait = Image.open(io.BytesIO((resources.files("skimage.data") / "astronaut.png").read_bytes())).convert("RGB")
    data = io.BytesIO()
    portrait.crop((100, 0, 350, 250)).save(data, "JPEG")
    for shard in range(_SHARDS):
        write_tar(tmp_path / f"in/{shard}.tar", [(f"{shard}-{i}.jpg", data.getvalue()) for i in range(_PICTURES)])
    config, out = tmp_path / "release.toml", tmp_path / "out"
    config.write_text(_CONFIG.format(source=str(tmp_path / "in"), destination=str(out)))
    started = _submit(address, "--no-wait", "--submission-id=first", config=config)
    assert started.returncode == 0, started.stderr[-2000:]
    manifests, deadline = out / "_cfanet/manifest", time.monotonic() + 400
    while not manifests.is_dir() or not list(manifests.iterdir()):
        assert time.monotonic() < deadline, f"nothing was finished: {_log(address, 'first')}"
        time.sleep(0.05)
    _stop(address, "first")
    done = {path.name for path in manifests.iterdir()}
    assert len(done) < _SHARDS and not (out / "RELEASE.json").exists(), "it was stopped in the middle"
    assert all(len(read_tar(path)) == _PICTURES for path in out.glob("*.tar")), "whole or absent"
    with _exported(metrics) as lines:
        finished = _submit(address, config=config)
    assert finished.returncode == 0, finished.stdout[-4000:] + finished.stderr[-2000:]
    assert max(_values(lines, "cfanet_pictures", 'kind="obscured"', 'stage="anonymize"')) >= 1
    assert max(_values(lines, "cfanet_seconds", 'kind="check"', 'stage="anonymize"')) > 0
    assert "Verdict" in finished.stdout
    assert [list(read_tar(out / f"{shard}.tar")) for shard in range(_SHARDS)] == [
        [f"{shard}-{i}.jpg" for i in range(_PICTURES)] for shard in range(_SHARDS)
    ]
    assert (out / "RELEASE.json").is_file() and (out / "_cfanet/report.html").is_file()
    found = status(str(out))
    assert (found.planned, found.done, found.withheld, found.left) == (_SHARDS, _SHARDS, 0, 0)
