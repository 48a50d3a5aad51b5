"""The CFA-Net generator: shared stem, content and identity branches, demodulated decoder (paper, Figures 2 and A)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cfanet.networks.layers import Conv2d, DownBlock, Linear, ModulatedBlock, ModulatedConv2d, activate

_COLOURLESS = 2 / 127.5  # mean distance of the channels, of 2, below which a crop has no colour: two grey levels


@dataclass(frozen=True)
class GeneratorConfig:
    """Everything that shapes the generator; stored with its weights."""

    resolution: int  # side of the aligned crop, pixels; a power of two, at least 2 · content_size
    identity_dim: int  # d of z_id; equals the guiding recognizer's dimension
    content_size: int  # side of z_con
    content_channels: int  # channels of z_con: narrow, so that the picture cannot be copied through
    fine_channels: tuple[int, ...]  # further content at 2, 4, … times that side, folded into channels of z_con
    style_dim: int  # width of the mapping from z_id to the decoder's styles
    width: int  # channels at the finest resolution
    max_width: int  # channels at the coarsest
    detail: bool  # True: what the code cannot hold of a crop is carried over to its new face, behind a gate

    @property
    def folded_channels(self) -> list[int]:
        """Channels of z_con that each finer content takes: a square of 2, 4, … pixels becomes channels."""
        return [channels * 4 ** (level + 1) for level, channels in enumerate(self.fine_channels)]

    def fine_size(self, level: int) -> int:
        """Side of the finer content at `level`."""
        return int(self.content_size * 2 ** (level + 1))

    @property
    def code_channels(self) -> int:
        """Channels of z_con in all."""
        return self.content_channels + sum(self.folded_channels)

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
    """Shared stem with two heads: content z_con (spatial, at several sizes) and identity z_id (unit sphere)."""

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
        self.fine = nn.ModuleList(
            Conv2d(config.channels(config.fine_size(level)), channels)
            for level, channels in enumerate(config.fine_channels)
        )

    def features(self, crops: Tensor) -> Tensor:
        """The stem's output, (N, C, content_size, content_size)."""
        return self._stem(crops)[-1]

    def content_and_features(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, R, R) in [-1, 1] → z_con (N, c, s, s), and the stem's output, from which z_id is made."""
        maps = self._stem(crops)
        codes = [self.content(maps[-1])]
        for level, head in enumerate(self.fine):
            codes.append(F.pixel_unshuffle(head(maps[-2 - level]), 2 ** (level + 1)))
        return torch.cat(codes, dim=1), maps[-1]

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, R, R) in [-1, 1] → z_con (N, c, s, s) and z_id (N, d) unit-norm."""
        content, x = self.content_and_features(crops)
        return content, self.identity(x)

    def _stem(self, crops: Tensor) -> list[Tensor]:
        """Features at every size, from the crop's down to content_size."""
        maps = [activate(self.from_rgb(crops))]
        for block in self.stem.values():
            maps.append(block(maps[-1]))
        return maps


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


class FineEntry(nn.Module):
    """Lets finer content into the decoder, where the features made of content and identity so far want it."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.conv = Conv2d(inputs, channels)
        self.gate = Conv2d(channels, channels)

    def forward(self, x: Tensor, fine: Tensor) -> Tensor:
        """`x` (N, channels, S, S), `fine` (N, inputs, S, S) → (N, channels, S, S)."""
        merged: Tensor = x + torch.sigmoid(self.gate(x)) * self.conv(fine)
        return merged


class Decoder(nn.Module):
    """Fuses z_con and z_id into a face: residual, upsampling, demodulated by z_id; RGB summed over resolutions."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        coarse, style = config.channels(config.content_size), config.style_dim
        self.mapping = nn.ModuleList([Linear(config.identity_dim, style), Linear(style, style)])
        self.entry = Conv2d(config.code_channels, coarse)
        sizes = _sizes(config.resolution, config.content_size)[::-1]
        painted = 3 + config.detail
        self.base = ModulatedBlock(coarse, coarse, style, upsample=False)
        self.code_split = [config.content_channels, *config.folded_channels]
        self.fine_entries = nn.ModuleList(
            FineEntry(channels, config.channels(config.fine_size(level)))
            for level, channels in enumerate(config.fine_channels)
        )
        self.blocks = nn.ModuleDict(
            {
                str(s): ModulatedBlock(config.channels(s // 2), config.channels(s), style, upsample=True)
                for s in sizes[1:]
            }
        )
        self.to_rgb = nn.ModuleDict(
            {str(s): ModulatedConv2d(config.channels(s), painted, style, kernel=1, demodulate=False) for s in sizes}
        )

    def forward(self, content: Tensor, identity: Tensor) -> Tensor:
        """`content` (N, c, s, s), `identity` (N, d) unit-norm → (N, 3 or 4, R, R): colours in [-1, 1], the gate."""
        style = identity * identity.shape[-1] ** 0.5  # unit variance per coordinate
        for layer in self.mapping:
            style = activate(layer(style))
        _, *fine = torch.split(content, self.code_split, dim=1)
        x = self.base(activate(self.entry(content)), style)
        rgb: Tensor = next(iter(self.to_rgb.values()))(x, style)
        for level, (size, block) in enumerate(self.blocks.items()):
            x = block(x, style)
            if level < len(fine):
                x = self.fine_entries[level](x, F.pixel_shuffle(fine[level], 2 ** (level + 1)))
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
        if config.content_size * 2 ** len(config.fine_channels) > config.resolution:
            raise ValueError(
                f"fine_channels {config.fine_channels} reaches beyond the crop's side {config.resolution}: "
                f"with content_size {config.content_size} give fewer levels"
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
        painted: Tensor = self.decoder(content, identity)
        return painted[:, :3]

    def move(
        self, crops: Tensor, content: Tensor, identity: Tensor, goal: Tensor, restored: Tensor | None = None
    ) -> Tensor:
        """The face of `crops` (N, 3, R, R) with its `identity` (N, d) moved to `goal` (N, d); (N, 3, R, R).

        Without detail this is G(z_con, goal), as in the paper. With it the difference x − G(z_con, identity), which no
        code holds, is carried over: what the identity does not concern stays sharp, and an angle of 0 gives x itself.
        A gate painted by the decoder hides it where it would show the old face; it may close the further, the larger
        the angle, and at 90° and more entirely. `restored` is G(z_con, identity) where it is known already;
        where it is the crop itself, nothing is carried over.
        """
        if not self.config.detail:
            return _uncoloured(crops, self.decode(content, goal))
        painted: Tensor = self.decoder(content, goal).float()
        far = (1.0 - (identity * goal).sum(-1)).clamp(0.0, 1.0)[:, None, None, None]
        hidden = far * torch.sigmoid(painted[:, 3:])
        restored = self.decode(content, identity) if restored is None else restored
        return _uncoloured(crops, painted[:, :3] + (1.0 - hidden) * (crops.float() - restored.float()))

    def identify(self, crops: Tensor) -> Tensor:
        """z_id alone: (N, 3, R, R) → (N, d) unit-norm."""
        identity: Tensor = self.encoder.identity(self.encoder.features(crops))
        return identity

    @torch.inference_mode()
    def parameter_count(self) -> int:
        """Number of weights."""
        return sum(p.numel() for p in self.parameters())


def _uncoloured(crops: Tensor, moved: Tensor) -> Tensor:
    """`moved` without colours where `crops` has none: a grey portrait stays grey; (N, 3, R, R) both."""
    colour = (crops.amax(1) - crops.amin(1)).flatten(1).mean(1)
    grey = (colour < _COLOURLESS)[:, None, None, None]
    return torch.where(grey, moved.mean(1, keepdim=True), moved)
