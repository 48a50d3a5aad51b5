"""Starting a run from a trained generator: of the same resolution, or of half of it."""

import re
from pathlib import Path

import torch
from torch import Tensor

from cfanet.errors import ConfigError
from cfanet.networks.generator import Generator, GeneratorConfig
from cfanet.weights import load_generator

_RUNG = re.compile(r"(encoder\.from_rgb|encoder\.stem\.\d+|decoder\.to_rgb\.\d+)\.")


def started_generator(config: GeneratorConfig, start: Path | None) -> Generator:
    """A generator with random weights, or with those of the file `start` wherever they fit.

    A file of half the resolution leaves the finest encoder and decoder blocks random, with their colours at zero, so
    that the picture begins as the smaller generator's, enlarged. ConfigError where the two have nothing in common.
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
    fitting = {name: value for name, value in source.state_dict().items() if _fits(name, value, own)}
    for name in set(own) - set(fitting):
        if not _RUNG.match(name) and f".{config.resolution}." not in name:
            raise ConfigError(f"start: {start} does not fit the run's network at {name}: use the same [network] sizes")
    generator.load_state_dict(own | fitting)
    if source.config.resolution < config.resolution:
        finest = generator.decoder.to_rgb[str(config.resolution)]
        torch.nn.init.zeros_(finest.get_parameter("weight"))
    return generator


def _fits(name: str, value: Tensor, own: dict[str, Tensor]) -> bool:
    return name in own and own[name].shape == value.shape
