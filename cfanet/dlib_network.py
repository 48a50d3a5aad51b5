"""dlib's face recognition network (ResNet-29) in PyTorch, with the weights of dlib's own file.

The same network and the same vectors; in torch it runs several times faster than in dlib's packages, which are built
without a BLAS, and takes a device as other recognizers do.
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cfanet.errors import WeightsError

CHIP_PX = 150
DIM = 128
_MEAN = (122.782, 117.001, 104.298)  # of R, G and B, subtracted by dlib's input layer …
_STD = 256.0  # … which divides by this
_WIDTHS = (32, 32, 32, 64, 64, 64, 64, 128, 128, 128, 256, 256, 256, 256)  # of the residual blocks
_LAYER = re.compile(rb"\x01\x05con_4|\x01\x07affine_|\x01\x04fc_2")  # a short string is its length, and that its own


class DlibNetwork(nn.Module):
    """(N, 3, 150, 150) float32 RGB in [0, 255] → (N, 128)."""

    def __init__(self, path: Path) -> None:
        """Read the weights from dlib's file; WeightsError where it holds another network."""
        super().__init__()
        try:
            arrays = list(_arrays(path.read_bytes()))
            shapes = [(32, 3, 7)]
            for inputs, outputs in pairwise((32, *_WIDTHS)):
                shapes += [(outputs, inputs, 3), (outputs, outputs, 3)]
            convolutions = [
                _folded(filters, affine, shape)
                for filters, affine, shape in zip(arrays[:-1:2], arrays[1:-1:2], shapes, strict=True)
            ]
            head = arrays[-1].reshape(_WIDTHS[-1], DIM)
        except (ValueError, IndexError, OSError) as error:
            raise WeightsError(f"{path} does not hold dlib's face recognition network ({error})") from error
        for index, (weight, bias) in enumerate(convolutions):
            self.register_buffer(f"weight{index}", torch.from_numpy(weight))
            self.register_buffer(f"bias{index}", torch.from_numpy(bias))
        self.register_buffer("head", torch.from_numpy(head))
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1))
        self.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    def forward(self, chips: Tensor) -> Tensor:
        """The vectors of aligned chips, as dlib's own program gives them."""
        x = self._convolve((chips - self.get_buffer("mean")) / _STD, 0, stride=2).relu()
        x = F.max_pool2d(x, 3, 2)
        for block, (inputs, outputs) in enumerate(pairwise((32, *_WIDTHS))):
            down = inputs != outputs or block == len(_WIDTHS) - 1
            y = self._convolve(x, 2 * block + 1, stride=2 if down else 1).relu()
            y = self._convolve(y, 2 * block + 2, stride=1)
            x = (_sum(F.avg_pool2d(x, 2), y) if down else x + y).relu()
        return x.mean((2, 3)) @ self.get_buffer("head")

    def _convolve(self, x: Tensor, index: int, stride: int) -> Tensor:
        weight, bias = self.get_buffer(f"weight{index}"), self.get_buffer(f"bias{index}")
        return F.conv2d(x, weight, bias, stride=stride, padding=0 if stride > 1 else weight.shape[-1] // 2)


def _sum(one: Tensor, other: Tensor) -> Tensor:
    """The sum where either may lack channels, rows or columns at the end: dlib counts those as zero."""
    channels, height, width = (max(a, b) for a, b in zip(one.shape[1:], other.shape[1:], strict=True))
    one, other = (
        F.pad(x, (0, width - x.shape[3], 0, height - x.shape[2], 0, channels - x.shape[1])) for x in (one, other)
    )
    return one + other


def _folded(filters: np.ndarray, affine: np.ndarray, shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Filters and bias of a convolution with the scale and shift that follow it."""
    outputs, inputs, side = shape
    weight, bias = filters[:-outputs].reshape(outputs, inputs, side, side), filters[-outputs:]
    gain, shift = affine.reshape(2, outputs)
    return weight * gain[:, None, None, None], bias * gain + shift


def _arrays(data: bytes) -> Iterator[np.ndarray]:
    """The parameters of every layer that has some, from the input on."""
    at = 0
    while (layer := _LAYER.search(data, at)) is not None:
        at = layer.end()
        if layer.group().endswith(b"fc_2"):
            for _ in range(2):  # outputs and inputs
                _, at = _integer(data, at)
        _, at = _integer(data, at)  # version of the tensor
        count = 1
        for _ in range(4):
            side, at = _integer(data, at)
            count *= side
        yield np.frombuffer(data, "<f4", count, at).copy()
        at += 4 * count


def _integer(data: bytes, at: int) -> tuple[int, int]:
    """A packed integer of dlib's: a byte with the number of bytes that follow, and those; with the place after it."""
    length = data[at] & 0x0F
    return int.from_bytes(data[at + 1 : at + 1 + length], "little"), at + 1 + length
