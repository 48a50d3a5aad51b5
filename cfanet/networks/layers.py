"""Building blocks shared by the networks: variance-keeping layers, modulated convolution, residual blocks.

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


class Linear(nn.Linear):
    """Linear layer that keeps the variance of its input."""

    def __init__(self, inputs: int, outputs: int, bias: float = 0.0) -> None:
        super().__init__(inputs, outputs)
        nn.init.normal_(self.weight, std=1.0 / math.sqrt(inputs))
        nn.init.constant_(self.bias, bias)


class Conv2d(nn.Conv2d):
    """Convolution that keeps the size, and the variance of its input."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3) -> None:
        super().__init__(inputs, outputs, kernel, padding=kernel // 2)
        nn.init.normal_(self.weight, std=1.0 / math.sqrt(inputs * kernel * kernel))
        assert self.bias is not None
        nn.init.zeros_(self.bias)


class ModulatedConv2d(nn.Module):
    """StyleGAN2's weight demodulation (Karras et al., 2020, Eq. 1–3), applied to activations instead of weights.

    Scaling the input by the style and the output by the demodulation factor equals convolving with demodulated
    weights, needs one ordinary convolution for the batch, and keeps its members independent.
    """

    def __init__(self, inputs: int, outputs: int, style: int, kernel: int = 3, *, demodulate: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel) / math.sqrt(inputs * kernel * kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.style = Linear(style, inputs, bias=1.0)
        self.padding = kernel // 2
        self.demodulate = demodulate

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """`x` (N, inputs, H, W), `style` (N, style) → (N, outputs, H, W)."""
        s = self.style(style)
        y = F.conv2d(x * s[:, :, None, None].to(x.dtype), self.weight, padding=self.padding)
        if self.demodulate:
            energy = s.float().square() @ self.weight.float().square().sum((2, 3)).t()
            y = y * torch.rsqrt(energy + 1e-8)[:, :, None, None].to(y.dtype)
        return y + self.bias[None, :, None, None].to(y.dtype)


class DownBlock(nn.Module):
    """Residual block that halves the size."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = Conv2d(inputs, inputs)
        self.conv2 = Conv2d(inputs, outputs)
        self.skip = Conv2d(inputs, outputs, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) → (N, outputs, H / 2, W / 2)."""
        y = activate(self.conv1(x))
        y = activate(self.conv2(F.avg_pool2d(y, 2)))
        mixed: Tensor = (y + self.skip(F.avg_pool2d(x, 2))) / _GAIN
        return mixed


class ModulatedBlock(nn.Module):
    """Decoder block: optional doubling of the size, two modulated convolutions, a residual path."""

    def __init__(self, inputs: int, outputs: int, style: int, *, upsample: bool) -> None:
        super().__init__()
        self.conv1 = ModulatedConv2d(inputs, outputs, style)
        self.conv2 = ModulatedConv2d(outputs, outputs, style)
        self.skip = Conv2d(inputs, outputs, kernel=1)
        self.upsample = upsample

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """`x` (N, inputs, H, W), `style` (N, style) → (N, outputs, 2H, 2W), or the same size without upsampling."""
        if self.upsample:
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        y = activate(self.conv1(x, style))
        y = activate(self.conv2(y, style))
        mixed: Tensor = (y + self.skip(x)) / _GAIN
        return mixed
