"""The state of a run in one safetensors file, so that a killed run continues exactly where it was."""

import json
import os
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from cfanet.errors import WeightsError

STATE_FILE = "state.safetensors"
_MAY_CHANGE = frozenset({"steps", "decay_steps", "save_every", "measure_every"})  # of the schedule, in a resumed run


def save_state(
    path: Path, step: int, modules: dict[str, nn.Module], optimizers: dict[str, torch.optim.Optimizer], settings: str
) -> None:
    """Write modules and optimizers atomically; `settings` is the run's canonical JSON."""
    tensors: dict[str, Tensor] = {}
    for name, module in modules.items():
        tensors |= {f"{name}.{key}": value.contiguous() for key, value in module.state_dict().items()}
    for name, optimizer in optimizers.items():
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"{name}/{index}/{key}": torch.as_tensor(value).contiguous() for key, value in state.items()}
    part = path.with_suffix(".part")
    save_file(tensors, str(part), metadata={"step": str(step), "settings": settings})
    os.replace(part, path)


def load_state(
    path: Path, modules: dict[str, nn.Module], optimizers: dict[str, torch.optim.Optimizer], settings: str
) -> int:
    """Restore what `save_state` wrote and return the step; WeightsError when the run's settings have changed."""
    with safe_open(str(path), framework="pt") as file:
        header = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    if (different := _first_difference(header["settings"], settings)) is not None:
        raise WeightsError(f"{path} belongs to a run with another {different}: use another output folder")
    for name, module in modules.items():
        prefix = f"{name}."
        module.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    for name, optimizer in optimizers.items():
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith(f"{name}/"):
                _, index, field = key.split("/")
                state.setdefault(int(index), {})[field] = value
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return int(header["step"])


def _first_difference(old: str, new: str) -> str | None:
    """The first section of two canonical settings that differs, apart from the length of the run."""
    before, after = json.loads(old), json.loads(new)
    for settings in (before, after):
        settings["schedule"] = {k: v for k, v in settings["schedule"].items() if k not in _MAY_CHANGE}
        settings["data"] = settings["start"] = None  # a run may move with its data; its start is behind it
    return next((section for section in after if before.get(section) != after[section]), None)
