"""Several processes, one run: each takes its rows of a step's batch, and gradients are averaged before the update.

`torchrun` starts them: it comes with torch, needs no cluster, and a training run has no work to schedule. Gradients are
averaged by one all-reduce after the backward pass instead of by DistributedDataParallel, which wants a single forward
pass a step; so every process holds the same weights, and rank 0 alone writes.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn

from cfanet.errors import ConfigError


@dataclass(frozen=True)
class Place:
    """Which of how many processes this is."""

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes states, metrics and pictures."""
        return self.rank == 0

    def agreed(self, stop: bool) -> bool:
        """The first process's answer, on every process: clocks differ, and all must make the same number of steps."""
        if self.world == 1:
            return stop
        answer = torch.tensor([stop], dtype=torch.int32)
        if dist.get_backend() == "nccl":
            answer = answer.cuda()
        dist.broadcast(answer, src=0)
        return bool(answer.item())

    def rows(self, batch: int) -> slice:
        """The rows of a batch that this process works on: every kind of pair goes to every process."""
        return slice(self.rank, batch, self.world)


@contextmanager
def joined(device: str, batch: int) -> Iterator[tuple[Place, str]]:
    """Join the processes that `torchrun` started, if it did; gives the place and this process's device.

    They part at the end: a process that ends while torch's threads still listen to the others may be aborted. After an
    error nothing is waited for, torchrun stops the others.

    ConfigError where the batch does not leave each process at least two pairs.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Place(), device
        return
    if batch < 2 * world or batch % world:
        raise ConfigError(f"schedule.batch {batch} on {world} processes: give a multiple of {world}, twice it at least")
    cuda = device.startswith("cuda")
    own = f"cuda:{os.environ['LOCAL_RANK']}" if cuda else device
    if cuda:
        torch.cuda.set_device(own)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if cuda else "gloo")
    yield Place(dist.get_rank(), world), own
    dist.destroy_process_group()


def average_gradients(place: Place, modules: Iterable[nn.Module]) -> None:
    """Replace each gradient by its mean over all processes."""
    if place.world == 1:
        return
    gradients = [p.grad for module in modules for p in module.parameters() if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= place.world
    for gradient, mean in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))
