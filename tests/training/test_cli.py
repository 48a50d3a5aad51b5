"""`cfanet train` as a process: killed and resumed, and shared by two processes, it ends where an unbroken one does."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError, safe_open
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from jobs.cli import main
from tests.training.fakes import FakeNetwork
from tests.training.prepared import write_prepared

STEPS = 40
NETWORK = {"resolution": 32, "content_size": 8, "width": 8, "max_width": 16, "style_dim": 16, "discriminator_width": 8}
SCHEDULE = {"batch": 8, "own_identity_from": 2, "adversarial_from": 4, "save_every": 2, "measure_every": 20}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared faces of enough people to hold one out, and a guide."""
    folder = tmp_path_factory.mktemp("data")
    write_prepared(folder / "faces", people=[f"person {number}" for number in range(28)])
    torch.jit.trace(FakeNetwork(16).eval(), torch.zeros(1, 3, 112, 96)).save(str(folder / "guide.pt"))
    return folder


def config(data: Path, path: Path, losses: dict[str, float] | None = None, **schedule: int) -> Path:
    sections = {"network": NETWORK, "losses": losses or {}, "schedule": SCHEDULE | schedule}
    text = f'data = "{data / "faces"}"\nguide = "torchscript:{data / "guide.pt"}"\n'
    for name, values in sections.items():
        text += f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in values.items())
    path.write_text(text, encoding="utf-8")
    return path


def start(config: Path, out: Path, **environment: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "jobs.cli", "train", str(config), "--out", str(out)]
    paths = os.pathsep.join(filter(None, sys.path))
    return subprocess.Popen(
        command, env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"} | environment, stderr=subprocess.DEVNULL
    )


def state(out: Path) -> dict[str, torch.Tensor]:
    with safe_open(str(out / "state.safetensors"), framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)


def step_of(out: Path) -> int:
    """The step of the last state; 0 while there is none."""
    try:
        with safe_open(str(out / "state.safetensors"), framework="pt") as file:
            return int(file.metadata()["step"])
    except (FileNotFoundError, SafetensorError):
        return 0


def test_a_killed_run_ends_where_an_unbroken_one_does(data: Path, tmp_path: Path) -> None:
    settings = config(data, tmp_path / "train.toml", steps=STEPS)
    torch.set_num_threads(1)
    with start(settings, tmp_path / "killed") as process:
        deadline = time.monotonic() + 240
        try:
            while step_of(tmp_path / "killed") < 4:
                assert process.poll() is None and time.monotonic() < deadline, "it ended before it could be killed"
                time.sleep(0.01)
        finally:
            process.kill()
    assert process.returncode == -9 and 4 <= step_of(tmp_path / "killed") < STEPS
    assert not (tmp_path / "killed/generator.safetensors").exists()
    for run in ("killed", "whole"):
        assert main(["train", str(settings), "--out", str(tmp_path / run)]) == 0
    whole, resumed = state(tmp_path / "whole"), state(tmp_path / "killed")
    assert whole.keys() == resumed.keys() and any(name.startswith("adam_judges/") for name in whole)
    assert not [name for name, value in whole.items() if not torch.equal(value, resumed[name])]
    assert (tmp_path / "killed/generator.safetensors").stat().st_size > 1000
    curves = EventAccumulator(str(tmp_path / "whole/tensorboard"), size_guidance={"images": 0}).Reload()
    assert [event.step for event in curves.Scalars("held-out/l1")][:2] == [20, 40]
    assert {event.step for event in curves.Images("held-out")} == {20, 40}


def test_two_processes_train_as_one(data: Path, tmp_path: Path) -> None:
    # What is drawn per process (the recognizer's view, the pictures restored) is switched off.
    losses = {"identity": 0.0, "adversarial": 0.0, "local": 0.0, "restored_share": 1.0}
    settings = config(data, tmp_path / "train.toml", losses, steps=4, own_identity_from=99)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # What torchrun sets for each process; it is left out because it looks up the machine's own name.
    common = {"GLOO_SOCKET_IFNAME": "lo", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    processes = [start(settings, tmp_path / "two", **common, RANK=str(rank), LOCAL_RANK=str(rank)) for rank in range(2)]
    try:
        assert [process.wait(timeout=240) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
    assert main(["train", str(settings), "--out", str(tmp_path / "one")]) == 0
    one, two = state(tmp_path / "one"), state(tmp_path / "two")
    generator = [name for name in one if name.startswith("generator.")]
    assert generator and step_of(tmp_path / "two") == 4
    for name in generator:
        assert torch.allclose(one[name], two[name], atol=2e-4), name
