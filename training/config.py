"""Settings of a training run: one TOML file → one frozen object, stored in every checkpoint."""

import tomllib
from pathlib import Path

from pydantic import Field, ValidationError

from cfanet.config import Section
from cfanet.errors import ConfigError
from cfanet.networks.generator import GeneratorConfig


class NetworkSettings(Section):
    """Sizes of the generator and of both discriminators."""

    resolution: int = 64
    content_size: int = 16
    content_channels: int = 8
    style_dim: int = 256
    width: int = 32
    max_width: int = 192
    discriminator_width: int = 32
    patch_size: int = 16  # patches for D_local are resized to this side
    patches: int = 4  # patches per picture, of the output and of the reference alike

    def generator(self, identity_dim: int) -> GeneratorConfig:
        """The generator's own configuration for a recognizer with `identity_dim` outputs."""
        return GeneratorConfig(
            resolution=self.resolution,
            identity_dim=identity_dim,
            content_size=self.content_size,
            content_channels=self.content_channels,
            style_dim=self.style_dim,
            width=self.width,
            max_width=self.max_width,
        )


class LossSettings(Section):
    """Weights of Eq. 9's terms; a weight of 0 switches a loss off (the ablations of Table 4).

    The paper sets every weight to 1. With little data and compute the identity term is drowned by equal weights, so
    the defaults differ; docs/LOG.md has the runs behind them.
    """

    content: float = Field(2.0, ge=0)  # λ_con: Eq. 1 on same-identity pairs
    local: float = Field(0.1, ge=0)  # Eq. 2 on different-identity pairs, relative to nothing else
    colour: float = Field(0.25, ge=0)  # ours: L1 on 8 × 8 pooled colours of different-identity pairs
    identity: float = Field(1.0, ge=0)  # λ_id: Eq. 4
    distil: float = Field(1.0, ge=0)  # weight of Eq. 4's second term, Cos(z_id, R_id)
    distil_swaps: float = Field(2.0, ge=0)  # ours: the same on generated faces; the closed loop looks at those
    smooth: float = Field(10.0, ge=0)  # λ of Eq. 6
    smooth_epsilon: float = Field(1e-4, gt=0)  # ε of Eq. 5
    smooth_every: int = Field(32, ge=1)  # Eq. 5 needs two more decodings: computed lazily
    adversarial: float = Field(0.1, ge=0)  # λ_adv: Eq. 7
    reconstruction: float = Field(2.0, ge=0)  # λ_rec: Eq. 8
    every_pair: bool = False  # True: Eq. 4 and 8 on every pair, as in the paper; False: only where Eq. 1 says nothing
    r1: float = Field(1.0, ge=0)  # γ/2 of R1 (Mescheder et al., 2018)
    r1_every: int = Field(16, ge=1)


class OptimizerSettings(Section):
    """Adam and the moving average of the weights."""

    learning_rate: float = Field(0.001, gt=0)  # the paper: 0.002
    judges_learning_rate: float = Field(0.001, gt=0)  # of D and D_local
    betas: tuple[float, float] = (0.9, 0.99)
    ema_pictures: float = Field(20_000, gt=0)  # half-life of the average, in pictures


class ScheduleSettings(Section):
    """How long, and what starts when; all in steps."""

    batch: int = Field(16, ge=2, multiple_of=2)  # pairs per step: half same, half different identity
    steps: int = Field(40_000, ge=1)  # the paper's
    decay_steps: int = Field(500, ge=0)  # over the last so many steps the learning rates fall to 0
    own_identity_from: int = Field(1_500, ge=0)  # before: the decoder sees R_id(y); after: half of it sees z_id
    adversarial_from: int = Field(2_500, ge=0)
    save_every: int = Field(100, ge=1)
    seed: int = 0


class TrainingSettings(Section):
    """Everything about a run."""

    data: Path  # folder written by `cfanet prepare`
    guide: str  # recognizer used as R_id, as in `cfanet --help`
    network: NetworkSettings = NetworkSettings()
    losses: LossSettings = LossSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    schedule: ScheduleSettings = ScheduleSettings()


def load_settings(path: Path) -> TrainingSettings:
    """Read a TOML file; ConfigError names the file and the first wrong key."""
    try:
        return TrainingSettings.model_validate(tomllib.loads(path.read_text()))
    except OSError as error:
        raise ConfigError(f"training config {path} cannot be read ({error.strerror}): give a TOML file") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"training config {path} is not valid TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"training config {path}: {where}: {first['msg']}") from error
