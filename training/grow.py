"""Starting a run from a trained generator: of the same resolution, or of half of it."""

import re
from pathlib import Path

import torch
from torch import Tensor

from cfanet.errors import ConfigError
from cfanet.networks.generator import Encoder, Generator, GeneratorConfig
from cfanet.networks.layers import DownBlock
from cfanet.weights import load_generator

_COLOURS = 3
_ENTRY = "decoder.entry.weight"
_PAINT = re.compile(r"decoder\.to_rgb\.\d+\.(weight|bias)$")
_RUNG = re.compile(r"(encoder\.from_rgb|encoder\.stem\.\d+|decoder\.to_rgb\.\d+|encoder\.fine|decoder\.fine_entries)\.")


def started_generator(config: GeneratorConfig, start: Path | None) -> Generator:
    """A generator with random weights, or with those of the file `start` wherever they fit.

    A file of half the resolution leaves the finest decoder block random, with its colours at zero, and the finest
    encoder block a mean over 2 × 2 pixels, so that the picture begins as the smaller generator's, enlarged.
    ConfigError where the two have nothing in common.
    """
    generator = Generator(config)
    if start is None:
        return generator
    source = load_generator(str(start)).network
    if source.config.resolution not in (config.resolution, config.resolution // 2):
        raise ConfigError(
            f"start: {start} is a {source.config.resolution} px generator and the run is for {config.resolution} px: "
            "give one of that resolution or of half of it"
        )
    own = generator.state_dict()
    given = source.state_dict() | {_ENTRY: _widened(source.decoder.entry.weight, own[_ENTRY])}
    if config.detail and not source.config.detail:
        given |= {name: _with_gate(value) for name, value in given.items() if _PAINT.match(name)}
    fitting = {name: value for name, value in given.items() if _fits(name, value, own)}
    for name in set(own) - set(fitting):
        if not _RUNG.match(name) and f".{config.resolution}." not in name:
            raise ConfigError(f"start: {start} does not fit the run's network at {name}: use the same [network] sizes")
    generator.load_state_dict(own | fitting)
    for level, entry in enumerate(generator.decoder.fine_entries):
        if f"decoder.fine_entries.{level}.conv.weight" not in fitting:
            torch.nn.init.zeros_(entry.get_submodule("conv").get_parameter("weight"))  # a new code begins without a say
    if source.config.resolution < config.resolution:
        finest = generator.decoder.to_rgb[str(config.resolution)]
        torch.nn.init.zeros_(finest.get_parameter("weight"))
        if generator.encoder.from_rgb.out_channels >= 2 * _COLOURS:
            _look_at_a_smaller_copy(generator.encoder, source.encoder)
    return generator


def _with_gate(value: Tensor) -> Tensor:
    """Weights (3, inputs, 1, 1) or biases (3,) of colours, with a gate beside them that depends on nothing yet."""
    return torch.cat([value, value.new_zeros(1, *value.shape[1:])])


def _widened(weight: Tensor, own: Tensor) -> Tensor:
    """`weight` (outputs, inputs, k, k) with zeros for the inputs that `own` has more of."""
    missing = own.shape[1] - weight.shape[1]
    return torch.cat([weight, weight.new_zeros(len(weight), max(0, missing), *weight.shape[2:])], dim=1)


@torch.no_grad()
def _look_at_a_smaller_copy(encoder: Encoder, source: Encoder) -> None:
    """Make the finest block pass on what `source` sees in the picture averaged down to half its side, exactly.

    Each colour goes through as the pair (v, -v): after two leaky ReLUs of slope 0.2 and gain √2 their difference is
    2 · (1 + 0.2²) · v. The other channels keep their random weights, but nothing listens to them yet.
    """
    first, block = encoder.from_rgb, next(iter(encoder.stem.values()))
    assert isinstance(block, DownBlock)
    first.weight[: 2 * _COLOURS] = 0.0
    block.conv1.weight[: 2 * _COLOURS] = 0.0
    for channel in range(2 * _COLOURS):
        first.weight[channel, channel // 2, 1, 1] = 1.0 if channel % 2 == 0 else -1.0
        block.conv1.weight[channel, channel, 1, 1] = 1.0
    block.conv2.weight.zero_()
    for part in (block.skip.weight, block.skip.bias, first.bias, block.conv1.bias, block.conv2.bias):
        assert part is not None
        part.zero_()
    # The block divides by √2 at its end, and a leaky ReLU commutes with a factor.
    scale = 2.0**0.5 / (2.0 * (1.0 + 0.2**2))
    for colour in range(_COLOURS):
        block.conv2.weight[:, 2 * colour] = source.from_rgb.weight[:, colour] * scale
        block.conv2.weight[:, 2 * colour + 1] = -source.from_rgb.weight[:, colour] * scale
    assert block.conv2.bias is not None
    assert source.from_rgb.bias is not None
    block.conv2.bias.copy_(source.from_rgb.bias * 2.0**0.5)


def _fits(name: str, value: Tensor, own: dict[str, Tensor]) -> bool:
    return name in own and own[name].shape == value.shape
