"""`ray job submit` against a real head: the same job as on the command line, with the real networks."""

import contextlib
import io
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import psutil
import pytest
from PIL import Image

from tests.jobs.fakes import read_tar, write_tar

_ROOT = Path(__file__).parents[2]
_BIN = Path(sys.executable).parent
_ENVIRONMENT = {
    **os.environ,
    "PATH": f"{_BIN}{os.pathsep}{os.environ['PATH']}",
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
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
def address() -> Iterator[str]:
    """A head of its own on free ports; its processes are known by their temporary folder, and killed at the end."""
    # A short path: Ray puts sockets there, and their names are limited to 107 bytes.
    with tempfile.TemporaryDirectory(prefix="rj", dir="/tmp", ignore_cleanup_errors=True) as folder:
        port, dashboard, agent = _free_ports(3)
        command = [
            str(_BIN / "ray"), "start", "--head", f"--port={port}", f"--dashboard-port={dashboard}",
            f"--dashboard-agent-listen-port={agent}", "--num-cpus=2", "--object-store-memory=200000000",
            f"--temp-dir={folder}", "--disable-usage-stats", "--include-dashboard=true",
        ]  # fmt: skip
        try:
            subprocess.run(command, env=_ENVIRONMENT, check=True, capture_output=True, timeout=120)
            yield f"http://127.0.0.1:{dashboard}"
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


def test_a_submitted_job_releases_a_dataset(address: str, tmp_path: Path) -> None:
    portrait = Image.open(io.BytesIO((resources.files("skimage.data") / "astronaut.png").read_bytes())).convert("RGB")
    data = io.BytesIO()
    portrait.crop((100, 0, 350, 250)).save(data, "JPEG")
    write_tar(tmp_path / "in/0.tar", [("a.jpg", data.getvalue()), ("a.json", b"{}")])
    config = tmp_path / "release.toml"
    config.write_text(_CONFIG.format(source=str(tmp_path / "in"), destination=str(tmp_path / "out")))
    command = [
        str(_BIN / "ray"), "job", "submit", f"--address={address}", f"--working-dir={_ROOT}",
        "--", "python", "-m", "jobs.release", str(config),
    ]  # fmt: skip
    done = subprocess.run(command, env=_ENVIRONMENT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert list(read_tar(tmp_path / "out/0.tar")) == ["a.jpg"]
    assert (tmp_path / "out/RELEASE.json").is_file()
    assert (tmp_path / "out/_cfanet/report.html").is_file()
    assert "Verdict" in done.stdout
