import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from cfanet.errors import ConfigError
from training.distributed import Place, average_gradients, joined

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys, torch
from training.distributed import average_gradients, joined
with joined("cpu", 4) as (place, device):
    layer = torch.nn.Linear(3, 1)
    torch.nn.init.ones_(layer.weight); torch.nn.init.zeros_(layer.bias)
    x = torch.arange(12.0).view(4, 3)[place.rows(4)]
    layer(x).square().mean().backward()
    average_gradients(place, [layer])
    assert place.agreed(place.rank == 0) is True and place.agreed(place.rank == 1) is False
    torch.save([layer.weight.grad, layer.bias.grad], f"{sys.argv[1]}/{place.rank}.pt")
assert not torch.distributed.is_initialized()
"""


def test_two_processes_get_the_gradient_of_the_whole_batch(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # What torchrun sets for each process; it is left out because it looks up the machine's own name.
    common = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "WORLD_SIZE": "2"}
    common |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    processes = [
        subprocess.Popen(
            [sys.executable, str(program), str(tmp_path)],
            env=os.environ | common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(2)
    ]
    try:
        assert [process.wait(timeout=120) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
    layer = nn.Linear(3, 1)
    nn.init.ones_(layer.weight)
    nn.init.zeros_(layer.bias)
    layer(torch.arange(12.0).view(4, 3)).square().mean().backward()
    for rank in range(2):
        weight, bias = torch.load(tmp_path / f"{rank}.pt")
        assert torch.allclose(weight, layer.weight.grad)
        assert torch.allclose(bias, layer.bias.grad)


def test_one_process_needs_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined("cpu", 3) as (place, device):
        assert (place, device) == (Place(), "cpu")
        assert place.first
        assert place.agreed(True)
        average_gradients(place, [nn.Linear(2, 2)])


def test_a_batch_that_cannot_be_shared_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    for batch in (6, 10):
        with pytest.raises(ConfigError, match=r"schedule\.batch"), joined("cpu", batch):
            pass
