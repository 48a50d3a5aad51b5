"""A recognizer small enough to train through in a test."""

import torch
from torch import nn

from cfanet.recognizers import Descriptor, TorchRecognizer


class FakeNetwork(nn.Module):
    """A fixed random projection of the averaged crop."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("projection", torch.randn(3 * 16, dim, generator=generator))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.adaptive_avg_pool2d(x, 4).flatten(1) @ self.projection


def fake_guide(dim: int = 16) -> TorchRecognizer:
    return TorchRecognizer("fake", FakeNetwork(dim), Descriptor(), "0" * 64)
