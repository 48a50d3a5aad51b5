"""The discriminators of the training: D on whole crops or, for short runs, on each patch; D_local on random patches."""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from cfanet.networks.layers import Conv2d, DownBlock, Linear, activate


class Trunk(nn.Module):
    """Residual down-sampling from `resolution` to 4 × 4."""

    def __init__(self, resolution: int, width: int, max_width: int) -> None:
        super().__init__()
        self.from_rgb = Conv2d(3, width, kernel=1)
        blocks: list[nn.Module] = []
        size, channels = resolution, width
        while size > 4:
            blocks.append(DownBlock(channels, min(max_width, channels * 2)))
            size, channels = size // 2, min(max_width, channels * 2)
        self.blocks = nn.Sequential(*blocks)
        self.channels = channels

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, R, R) → (N, channels, 4, 4)."""
        features: Tensor = self.blocks(activate(self.from_rgb(images)))
        return features


class Discriminator(nn.Module):
    """D of Eq. 7: one logit per crop; the last stage sees how much the batch varies (minibatch deviation)."""

    def __init__(self, resolution: int, width: int, max_width: int) -> None:
        super().__init__()
        self.trunk = Trunk(resolution, width, max_width)
        channels = self.trunk.channels
        self.conv = Conv2d(channels + 1, channels)
        self.hidden = Linear(channels * 16, channels)
        self.logit = Linear(channels, 1)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, R, R) in [-1, 1] → (N,) logits."""
        x = self.trunk(images)
        spread = x.float().std(dim=0, unbiased=False).mean().to(x.dtype)
        x = torch.cat([x, spread.expand(len(x), 1, *x.shape[2:])], dim=1)
        x = activate(self.conv(x)).flatten(1)
        logits: Tensor = self.logit(activate(self.hidden(x)))[:, 0]
        return logits


class PatchDiscriminator(nn.Module):
    """D for short runs: a logit for each overlapping patch (Isola et al., 2017), spectrally normalised.

    A logit a crop has to learn what a face is before it can tell a generator anything; a logit a patch teaches
    sharpness within hundreds of steps (docs/LOG.md).
    """

    def __init__(self, width: int, max_width: int) -> None:
        super().__init__()
        channels = [3, *(min(max_width, width * 2**level) for level in range(4))]
        stages = [nn.Conv2d(a, b, 4, stride=2, padding=1) for a, b in itertools.pairwise(channels)]
        self.stages = nn.ModuleList([spectral_norm(stage) for stage in stages])
        self.logit = spectral_norm(nn.Conv2d(channels[-1], 1, 3, padding=1))

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, R, R) in [-1, 1] → (N, 1, R / 16, R / 16) logits."""
        x = images
        for stage in self.stages:
            x = F.leaky_relu(stage(x), 0.2)
        logits: Tensor = self.logit(x)
        return logits


class LocalDiscriminator(nn.Module):
    """D_local of Eq. 2: does this patch come from the picture that these reference patches come from?"""

    def __init__(self, patch: int, width: int, max_width: int) -> None:
        super().__init__()
        self.trunk = Trunk(patch, width, max_width)
        self.embed = Linear(self.trunk.channels * 16, max_width)
        self.hidden = Linear(2 * max_width, max_width)
        self.logit = Linear(max_width, 1)

    def forward(self, patches: Tensor, references: Tensor) -> Tensor:
        """`patches` (N, P, 3, p, p) and `references` (N, Q, 3, p, p) of the same N pictures → (N · P,) logits."""
        n, p = patches.shape[:2]
        flat = torch.cat([patches.flatten(0, 1), references.flatten(0, 1)])
        codes = activate(self.embed(self.trunk(flat).flatten(1)))
        of_patch, of_reference = codes[: n * p], codes[n * p :]
        mean = of_reference.view(n, -1, of_reference.shape[-1]).mean(1).repeat_interleave(p, dim=0)
        logits: Tensor = self.logit(activate(self.hidden(torch.cat([of_patch, mean], dim=1))))[:, 0]
        return logits


def random_patches(images: Tensor, count: int, size: int, generator: torch.Generator) -> Tensor:
    """`count` random square patches per picture, 1/8 to 1/4 of its side, resized to `size`.

    (N, 3, R, R) → (N, count, 3, size, size). Differentiable in `images`.
    """
    n = len(images)
    side = torch.empty(n * count, 1, 1).uniform_(1 / 8, 1 / 4, generator=generator)
    centre = torch.rand(n * count, 1, 2, generator=generator) * 2 - 1
    centre = centre * (1 - side)  # keeps the whole patch inside
    steps = (torch.arange(size) + 0.5) / size * 2 - 1
    ys, xs = torch.meshgrid(steps, steps, indexing="ij")
    offsets = torch.stack([xs, ys], dim=-1).reshape(1, size * size, 2)
    grid = (centre + offsets * side).view(n, count * size, size, 2).to(images)
    patches = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return patches.view(n, 3, count, size, size).transpose(1, 2)
