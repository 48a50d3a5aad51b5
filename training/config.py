"""Settings of a training run: one TOML file → one frozen object, stored in every checkpoint."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from cfanet.config import Section
from cfanet.errors import ConfigError
from cfanet.networks.generator import GeneratorConfig

PRESETS: Mapping[str, Mapping[str, int]] = {
    # Each resolution halves the width at the finest level, so that a 64 px generator is the inside of a 128 px one.
    "64": {"resolution": 64, "width": 32, "discriminator_width": 32},
    "128": {"resolution": 128, "width": 16, "discriminator_width": 16},
    "256": {"resolution": 256, "width": 32, "max_width": 384, "discriminator_width": 32, "content_channels": 16},
    "512": {"resolution": 512, "width": 16, "max_width": 384, "discriminator_width": 16, "content_channels": 16},
}


class NetworkSettings(Section):
    """Sizes of the generator and of both discriminators: a preset, and what of it is to be different."""

    preset: Literal["64", "128", "256", "512"] = "128"
    resolution: int
    content_size: int = 16
    content_channels: int = 8
    fine_channels: tuple[int, ...] = ()
    style_dim: int = 256
    width: int
    max_width: int = 192
    detail: bool = False  # carry over what the code does not hold; the paper: False
    discriminator: Literal["whole", "patch"] = "whole"  # D: a logit a crop, as in the paper, or a logit a patch
    discriminator_width: int
    patch_size: int = 16  # patches for D_local are resized to this side
    patches: int = 4  # patches per picture, of the output and of the reference alike

    @model_validator(mode="before")
    @classmethod
    def _fill_in_the_preset(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {**PRESETS.get(str(values.get("preset", "128")), {}), **values}

    def generator(self, identity_dim: int) -> GeneratorConfig:
        """The generator's own configuration for a recognizer with `identity_dim` outputs."""
        return GeneratorConfig(
            resolution=self.resolution,
            identity_dim=identity_dim,
            content_size=self.content_size,
            content_channels=self.content_channels,
            fine_channels=self.fine_channels,
            style_dim=self.style_dim,
            width=self.width,
            max_width=self.max_width,
            detail=self.detail,
        )


class LossSettings(Section):
    """Weights of Eq. 9's terms; a weight of 0 switches a loss off (the ablations of Table 4).

    The paper sets every weight to 1. With little data and compute the identity term is drowned by equal weights, so
    the defaults differ; docs/LOG.md has the runs behind them.
    """

    content: float = Field(2.0, ge=0)  # λ_con: Eq. 1 on same-identity pairs
    local: float = Field(0.1, ge=0)  # Eq. 2 on different-identity pairs, relative to nothing else
    colour: float = Field(0.25, ge=0)  # ours: L1 on pooled chroma and luma of different-identity pairs
    keep: float = Field(0.0, ge=0)  # ours: L1 on different-identity pairs as well: change no more than identity needs
    structure: float = Field(0.0, ge=0)  # ours: 1 − SSIM of different-identity pairs, eyes and mouth counted more
    structure_free: float = Field(0.0, ge=0, lt=1)  # so much of it costs nothing in a picture: room for the identity
    eyes: float = Field(6.0, ge=1)  # what the middle of an eye counts in it; the mouth counts 6, the rest of the face 1
    fine_structure: float = Field(0.0, ge=0)  # ours: price of what the closed loop refuses as the old face showing
    fine_structure_free: float = Field(0.92, ge=0, lt=1)  # a correlation up to this costs nothing
    landmarks: float = Field(0.0, ge=0)  # ours: what expression and pose are made of stays where it is
    identity: float = Field(1.0, ge=0)  # λ_id: Eq. 4
    distil: float = Field(1.0, ge=0)  # weight of Eq. 4's second term, Cos(z_id, R_id)
    distil_swaps: float = Field(2.0, ge=0)  # ours: the same on generated faces; the closed loop looks at those
    smooth: float = Field(10.0, ge=0)  # λ of Eq. 6
    smooth_epsilon: float = Field(1e-4, gt=0)  # ε of Eq. 5
    smooth_every: int = Field(32, ge=1)  # Eq. 5 needs two more decodings: computed lazily
    adversarial: float = Field(0.1, ge=0)  # λ_adv: Eq. 7
    reconstruction: float = Field(2.0, ge=0)  # λ_rec: Eq. 8
    every_pair: bool = False  # True: Eq. 4 and 8 on every pair, as in the paper; False: only where Eq. 1 says nothing
    restored_share: float = Field(0.5, gt=0, le=1)  # of those pairs, the part on which Eq. 8 is computed
    r1: float = Field(0.05, ge=0)  # γ/2 of R1 (Mescheder et al., 2018); 2e-4 · side² / batch, as in StyleGAN2
    r1_every: int = Field(16, ge=1)


class OptimizerSettings(Section):
    """Adam and the moving average of the weights."""

    learning_rate: float = Field(0.001, gt=0)  # the paper: 0.002
    judges_learning_rate: float = Field(0.001, gt=0)  # of D and D_local
    betas: tuple[float, float] = (0.9, 0.99)
    warmup_steps: int = Field(100, ge=0)  # rates rise from 0: Adam's first steps are as long as its longest
    ema_pictures: float = Field(20_000, gt=0)  # half-life of the average, in pictures


class ScheduleSettings(Section):
    """How long, and what starts when; all in steps."""

    batch: int = Field(16, ge=2)  # pairs per step
    same_share: float = Field(0.25, gt=0, lt=1)  # of the pairs show one person twice; the paper alternates: 0.5
    virtual_share: float = Field(0.0, ge=0, le=1)  # of the other pairs ask for a virtual identity, at a random angle
    virtual_from_deg: float = Field(20.0, ge=0, le=180)  # … between this
    virtual_to_deg: float = Field(130.0, ge=0, le=180)  # … and this
    labelled_share: float = Field(0.6, ge=0, le=1)  # of the other pairs are drawn from faces with an identity
    soft_share: float = Field(0.0, ge=0, le=1)  # of the sources are shown at the resolution of small faces
    grey_share: float = Field(0.0, ge=0, le=1)  # of the new faces recognizers see without colour: paint changes nobody
    steps: int = Field(40_000, ge=1)  # the paper's
    decay_steps: int = Field(500, ge=0)  # over the last so many steps the learning rates fall to 0
    own_identity_from: int = Field(1_500, ge=0)  # before: the decoder sees R_id(y); after: some of it sees z_id
    own_identity_share: float = Field(0.5, ge=0, le=1)  # how much of it
    adversarial_from: int = Field(2_500, ge=0)
    save_every: int = Field(100, ge=1)
    measure_every: int = Field(500, ge=1)  # metrics on people held out, and a grid of their faces
    seed: int = 0


class TrainingSettings(Section):
    """Everything about a run."""

    data: Path  # folder written by `cfanet prepare`
    guide: str  # recognizer used as R_id, as in `cfanet --help`; z_id lives on its sphere
    more_guides: tuple[str, ...] = ()  # further recognizers whose view of a swap must agree: no trick fools them all
    landmarks: Path | None = None  # landmark network, for the loss of that name
    start: Path | None = None  # generator file to start from, of this resolution or of half of it; None: random weights
    network: NetworkSettings = NetworkSettings.model_validate({})
    losses: LossSettings = LossSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    schedule: ScheduleSettings = ScheduleSettings()

    @model_validator(mode="after")
    def _landmarks_are_given(self) -> Self:
        if self.losses.landmarks > 0 and self.landmarks is None:
            raise ValueError("losses.landmarks needs a landmark network: give landmarks = FILE (`cfanet landmarks`)")
        return self


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
        where = ".".join(str(part) for part in first["loc"]) or "settings"
        raise ConfigError(f"training config {path}: {where}: {first['msg']}") from error
