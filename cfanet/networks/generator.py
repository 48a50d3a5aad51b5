"""The CFA-Net generator: shared stem, content and identity branches, demodulated decoder (paper, Figures 2 and A)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cfanet.networks.layers import Conv2d, DownBlock, Linear, ModulatedBlock, ModulatedConv2d, activate


@dataclass(frozen=True)
class GeneratorConfig:
    """Everything that shapes the generator; stored with its weights."""

    resolution: int  # side of the aligned crop, pixels; a power of two, at least 2 · content_size
    identity_dim: int  # d of z_id; equals the guiding recognizer's dimension
    content_size: int  # side of z_con
    content_channels: int  # channels of z_con: narrow, so that the picture cannot be copied through
    fine_channels: int  # further content at twice the side, folded into 4 channels of z_con each; 0: none
    style_dim: int  # width of the mapping from z_id to the decoder's styles
    width: int  # channels at the finest resolution
    max_width: int  # channels at the coarsest

    @property
    def code_channels(self) -> int:
        """Channels of z_con in all."""
        return self.content_channels + 4 * self.fine_channels

    def channels(self, size: int) -> int:
        """Channels of feature maps with side `size`."""
        return min(self.max_width, self.width * self.resolution // size)


def _sizes(high: int, low: int) -> list[int]:
    """[high, high/2, …, low]."""
    sizes = [high]
    while sizes[-1] > low:
        sizes.append(sizes[-1] // 2)
    return sizes


class Encoder(nn.Module):
    """Shared stem with two heads: content z_con (spatial, at one or two sizes) and identity z_id (unit sphere)."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        sizes = _sizes(config.resolution, config.content_size)
        self.from_rgb = Conv2d(3, config.channels(config.resolution))
        self.stem = nn.ModuleDict(
            {str(size): DownBlock(config.channels(size), config.channels(size // 2)) for size in sizes[:-1]}
        )
        coarse = config.channels(config.content_size)
        self.content = nn.Sequential(Conv2d(coarse, coarse), nn.LeakyReLU(0.2), Conv2d(coarse, config.content_channels))
        self.identity = IdentityHead(coarse, config.content_size, config.max_width, config.identity_dim)
        fine = config.channels(2 * config.content_size)
        self.fine = Conv2d(fine, config.fine_channels) if config.fine_channels else None

    def features(self, crops: Tensor) -> Tensor:
        """The stem's output, (N, C, content_size, content_size)."""
        return self._stem(crops)[0]

    def content_and_features(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, R, R) in [-1, 1] → z_con (N, c, s, s), and the stem's output, from which z_id is made."""
        x, before = self._stem(crops)
        content: Tensor = self.content(x)
        if self.fine is not None:
            content = torch.cat([content, F.pixel_unshuffle(self.fine(before), 2)], dim=1)
        return content, x

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, R, R) in [-1, 1] → z_con (N, c, s, s) and z_id (N, d) unit-norm."""
        content, x = self.content_and_features(crops)
        return content, self.identity(x)

    def _stem(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Features at content_size, and at twice that side."""
        x = before = activate(self.from_rgb(crops))
        for block in self.stem.values():
            before, x = x, block(x)
        return x, before


class IdentityHead(nn.Module):
    """The identity branch: down to 4 × 4, then a projection onto the unit sphere."""

    def __init__(self, inputs: int, size: int, width: int, outputs: int) -> None:
        super().__init__()
        blocks: list[nn.Module] = [DownBlock(inputs, width)]
        while size // 2 ** len(blocks) > 4:
            blocks.append(DownBlock(width, width))
        self.blocks = nn.Sequential(*blocks)
        self.project = Linear(width * (size // 2 ** len(blocks)) ** 2, outputs)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, s, s) → (N, d) float32 unit-norm."""
        return F.normalize(self.project(self.blocks(features).flatten(1)).float(), dim=-1)


class Decoder(nn.Module):
    """Fuses z_con and z_id into a face: residual, upsampling, demodulated by z_id; RGB summed over resolutions."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        coarse, style = config.channels(config.content_size), config.style_dim
        self.mapping = nn.ModuleList([Linear(config.identity_dim, style), Linear(style, style)])
        self.entry = Conv2d(config.content_channels, coarse)
        sizes = _sizes(config.resolution, config.content_size)[::-1]
        self.coarse_channels = config.content_channels
        self.base = ModulatedBlock(coarse, coarse, style, upsample=False)
        fine = config.channels(2 * config.content_size)
        self.fine_entry = Conv2d(config.fine_channels, fine) if config.fine_channels else None
        self.blocks = nn.ModuleDict(
            {
                str(s): ModulatedBlock(config.channels(s // 2), config.channels(s), style, upsample=True)
                for s in sizes[1:]
            }
        )
        self.to_rgb = nn.ModuleDict(
            {str(s): ModulatedConv2d(config.channels(s), 3, style, kernel=1, demodulate=False) for s in sizes}
        )

    def forward(self, content: Tensor, identity: Tensor) -> Tensor:
        """`content` (N, c, s, s), `identity` (N, d) unit-norm → (N, 3, R, R), nominally in [-1, 1]."""
        style = identity * identity.shape[-1] ** 0.5  # unit variance per coordinate
        for layer in self.mapping:
            style = activate(layer(style))
        coarse, fine = content[:, : self.coarse_channels], content[:, self.coarse_channels :]
        x = self.base(activate(self.entry(coarse)), style)
        rgb: Tensor = next(iter(self.to_rgb.values()))(x, style)
        for number, (size, block) in enumerate(self.blocks.items()):
            x = block(x, style)
            if number == 0 and self.fine_entry is not None:
                x = x + self.fine_entry(F.pixel_shuffle(fine, 2))
            rgb = F.interpolate(rgb, scale_factor=2, mode="bilinear", align_corners=False) + self.to_rgb[size](x, style)
        return rgb


class Generator(nn.Module):
    """Encoder and decoder; the only network needed after training."""

    def __init__(self, config: GeneratorConfig) -> None:
        """Build with random weights; `cfanet.weights` loads trained ones."""
        super().__init__()
        if config.resolution & (config.resolution - 1) or config.resolution < 2 * config.content_size:
            raise ValueError(
                f"resolution {config.resolution} must be a power of two, "
                f"at least twice content_size {config.content_size}"
            )
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    def encode(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, R, R) in [-1, 1] → z_con (N, c, s, s), z_id (N, d) unit-norm."""
        content, identity = self.encoder(crops)
        return content, identity

    def decode(self, content: Tensor, identity: Tensor) -> Tensor:
        """z_con (N, c, s, s) and identity (N, d) unit-norm → crops (N, 3, R, R)."""
        crops: Tensor = self.decoder(content, identity)
        return crops

    def identify(self, crops: Tensor) -> Tensor:
        """z_id alone: (N, 3, R, R) → (N, d) unit-norm."""
        identity: Tensor = self.encoder.identity(self.encoder.features(crops))
        return identity

    @torch.inference_mode()
    def parameter_count(self) -> int:
        """Number of weights."""
        return sum(p.numel() for p in self.parameters())
