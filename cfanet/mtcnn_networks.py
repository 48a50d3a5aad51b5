"""P-Net, R-Net and O-Net (Zhang et al., 2016) with the weights that come with facenet-pytorch.

The package itself is not imported: it imports torchvision, and that torch's compiler, which costs every process seconds
and over a hundred megabytes and finds no face.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from cfanet.errors import WeightsError


class _Turned(nn.Module):
    """(N, C, H, W) as (N, W·H·C): the weights were trained in another library's order."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 3, 2, 1).flatten(1)


class _Network(nn.Module):
    """Layers, and heads beside one another on top of them; the last head's two outputs become probabilities."""

    def __init__(self, weights: str, layers: Mapping[str, nn.Module], heads: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self._layers, self._heads = tuple(layers), tuple(heads)
        for name, module in {**layers, **heads}.items():
            self.add_module(name, module)
        self.load_state_dict(torch.load(_folder() / weights, weights_only=True))
        self.eval()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        for name in self._layers:
            x = getattr(self, name)(x)
        *others, decision = (getattr(self, name)(x) for name in self._heads)
        return *others, decision.softmax(dim=1)


def _folder() -> Path:
    spec = find_spec("facenet_pytorch")
    if spec is None or not spec.submodule_search_locations:
        raise WeightsError("the package facenet-pytorch is not installed: MTCNN's weights come with it")
    return Path(spec.submodule_search_locations[0], "data")


def _pool(side: int) -> nn.Module:
    return nn.MaxPool2d(side, 2, ceil_mode=True)


def pnet() -> nn.Module:
    """(1, 3, H, W) in [-1, 1] to corrections (1, 4, h, w) and probabilities (1, 2, h, w) of every window of 12 pixels.

    Its pooling is the module `pool1`.
    """
    layers = {
        "conv1": nn.Conv2d(3, 10, 3), "prelu1": nn.PReLU(10), "pool1": _pool(2),
        "conv2": nn.Conv2d(10, 16, 3), "prelu2": nn.PReLU(16),
        "conv3": nn.Conv2d(16, 32, 3), "prelu3": nn.PReLU(32),
    }  # fmt: skip
    return _Network("pnet.pt", layers, {"conv4_2": nn.Conv2d(32, 4, 1), "conv4_1": nn.Conv2d(32, 2, 1)})


def rnet() -> nn.Module:
    """(N, 3, 24, 24) in [-1, 1] to corrections (N, 4) and probabilities (N, 2)."""
    layers = {
        "conv1": nn.Conv2d(3, 28, 3), "prelu1": nn.PReLU(28), "pool1": _pool(3),
        "conv2": nn.Conv2d(28, 48, 3), "prelu2": nn.PReLU(48), "pool2": _pool(3),
        "conv3": nn.Conv2d(48, 64, 2), "prelu3": nn.PReLU(64), "turned": _Turned(),
        "dense4": nn.Linear(576, 128), "prelu4": nn.PReLU(128),
    }  # fmt: skip
    return _Network("rnet.pt", layers, {"dense5_2": nn.Linear(128, 4), "dense5_1": nn.Linear(128, 2)})


def onet() -> nn.Module:
    """(N, 3, 48, 48) in [-1, 1] to corrections (N, 4), landmarks (N, 10) and probabilities (N, 2)."""
    layers = {
        "conv1": nn.Conv2d(3, 32, 3), "prelu1": nn.PReLU(32), "pool1": _pool(3),
        "conv2": nn.Conv2d(32, 64, 3), "prelu2": nn.PReLU(64), "pool2": _pool(3),
        "conv3": nn.Conv2d(64, 64, 3), "prelu3": nn.PReLU(64), "pool3": _pool(2),
        "conv4": nn.Conv2d(64, 128, 2), "prelu4": nn.PReLU(128), "turned": _Turned(),
        "dense5": nn.Linear(1152, 256), "prelu5": nn.PReLU(256),
    }  # fmt: skip
    heads = {"dense6_2": nn.Linear(256, 4), "dense6_3": nn.Linear(256, 10), "dense6_1": nn.Linear(256, 2)}
    return _Network("onet.pt", layers, heads)
