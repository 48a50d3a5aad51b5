"""CUDA graphs: a GPU replays a network's forward and backward pass as one launch each.

A training step of these small networks is some thousands of kernels, and launching them one by one takes longer than
running them (docs/LOG.md has the times). Shapes are the same in every step, so each call of a network is recorded when
it is made for the first time, and replayed from then on. On a processor the networks are called as they are.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class Graphs:
    """The calls of one training step, each known by a name of its own."""

    def __init__(self, device: torch.device, bfloat16: bool, fixed_shapes: bool) -> None:
        """`bfloat16`: recorded calls run under autocast to it. Without `fixed_shapes` nothing is recorded."""
        self._device, self._bfloat16 = device, bfloat16
        self._records = device.type == "cuda" and fixed_shapes
        self._recorded: dict[str, Callable[..., Any]] = {}

    def __call__(self, name: str, network: nn.Module, *inputs: Tensor) -> Any:
        """`network(*inputs)`, a tensor or a tuple of them; on a GPU valid until the next call of that name."""
        if not self._records:
            return network(*inputs)
        if name not in self._recorded:
            samples = tuple(value.detach().clone().requires_grad_(value.requires_grad) for value in inputs)
            call = _Call(network, self._device, self._bfloat16)
            with torch.autocast(self._device.type, enabled=False):
                self._recorded[name] = torch.cuda.make_graphed_callables(call, samples, allow_unused_input=True)
        return self._recorded[name](*inputs)


class _Call(nn.Module):
    """One place where a step calls a network: each has a graph and its own memory, networks are called in several."""

    def __init__(self, network: nn.Module, device: torch.device, bfloat16: bool) -> None:
        super().__init__()
        self.network, self._device, self._bfloat16 = network, device, bfloat16

    def forward(self, *inputs: Tensor) -> Any:
        with torch.autocast(self._device.type, torch.bfloat16, self._bfloat16, cache_enabled=False):
            return self.network(*inputs)
