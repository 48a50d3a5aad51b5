"""Building blocks shared by the networks: equalised layers, modulated convolution, residual blocks.

All tensors are (N, C, H, W) or (N, C) float; nothing here depends on the other members of a batch.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_GAIN = math.sqrt(2.0)  # keeps the variance through a leaky ReLU


def activate(x: Tensor) -> Tensor:
    """Leaky ReLU (0.2) that keeps the variance."""
    return F.leaky_relu(x, 0.2) * _GAIN


class EqualLinear(nn.Module):
    """Linear layer whose weights are scaled at run time, so that one learning rate suits all (Karras et al., 2018)."""

    def __init__(self, inputs: int, outputs: int, bias: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs))
        self.bias = nn.Parameter(torch.full((outputs,), bias))
        self.scale = 1.0 / math.sqrt(inputs)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs) → (N, outputs)."""
        return F.linear(x, self.weight * self.scale, self.bias)


class EqualConv2d(nn.Module):
    """Convolution with run-time weight scaling; keeps the size unless `stride` is 2."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, *, zero: bool = False) -> None:
        super().__init__()
        weight = torch.randn(outputs, inputs, kernel, kernel)
        self.weight = nn.Parameter(torch.zeros_like(weight) if zero else weight)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = 1.0 / math.sqrt(inputs * kernel * kernel)
        self.stride = stride
        self.padding = kernel // 2

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) → (N, outputs, H / stride, W / stride)."""
        return F.conv2d(x, self.weight * self.scale, self.bias, stride=self.stride, padding=self.padding)


class ModulatedConv2d(nn.Module):
    """StyleGAN2's weight demodulation (Karras et al., 2020, Eq. 1–3), applied to activations instead of weights.

    Scaling the input by the style and the output by the demodulation factor equals convolving with demodulated
    weights, needs one ordinary convolution for the batch, and keeps its members independent.
    """

    def __init__(self, inputs: int, outputs: int, style: int, kernel: int = 3, *, demodulate: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.style = EqualLinear(style, inputs, bias=1.0)
        self.scale = 1.0 / math.sqrt(inputs * kernel * kernel)
        self.padding = kernel // 2
        self.demodulate = demodulate

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """`x` (N, inputs, H, W), `style` (N, style) → (N, outputs, H, W)."""
        weight = self.weight * self.scale
        s = self.style(style)
        y = F.conv2d(x * s[:, :, None, None].to(x.dtype), weight, padding=self.padding)
        if self.demodulate:
            energy = s.float().square() @ weight.float().square().sum((2, 3)).t()
            y = y * torch.rsqrt(energy + 1e-8)[:, :, None, None].to(y.dtype)
        return y + self.bias[None, :, None, None].to(y.dtype)


class DownBlock(nn.Module):
    """Residual block that halves the size."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = EqualConv2d(inputs, outputs)
        self.conv2 = EqualConv2d(outputs, outputs)
        self.skip = EqualConv2d(inputs, outputs, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) → (N, outputs, H / 2, W / 2)."""
        y = activate(self.conv1(F.avg_pool2d(x, 2)))
        y = activate(self.conv2(y))
        mixed: Tensor = (y + self.skip(F.avg_pool2d(x, 2))) / _GAIN
        return mixed


class ModulatedBlock(nn.Module):
    """Decoder block: optional doubling of the size, two modulated convolutions, a residual path."""

    def __init__(self, inputs: int, outputs: int, style: int, *, upsample: bool) -> None:
        super().__init__()
        self.conv1 = ModulatedConv2d(inputs, outputs, style)
        self.conv2 = ModulatedConv2d(outputs, outputs, style)
        self.skip = EqualConv2d(inputs, outputs, kernel=1)
        self.upsample = upsample

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """`x` (N, inputs, H, W), `style` (N, style) → (N, outputs, 2H, 2W), or the same size without upsampling."""
        if self.upsample:
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        y = activate(self.conv1(x, style))
        y = activate(self.conv2(y, style))
        mixed: Tensor = (y + self.skip(x)) / _GAIN
        return mixed
