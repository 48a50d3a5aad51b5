"""A small generator with random weights and known parts, for tests of everything around it."""

from functools import cache
from pathlib import Path

import numpy as np
import torch

from cfanet.networks.generator import Generator, GeneratorConfig
from cfanet.records import Detection, Excused, ImageArray, Landmarks
from cfanet.weights import IdentitySpread, TrainedGenerator, save_generator

CONFIG = GeneratorConfig(
    resolution=32,
    identity_dim=16,
    content_size=8,
    content_channels=4,
    fine_channels=(),
    style_dim=16,
    width=8,
    max_width=16,
    detail=False,
)
THRESHOLDS = {1e-2: 0.4, 1e-3: 0.5}


def spread() -> IdentitySpread:
    return IdentitySpread(torch.zeros(16), torch.eye(16))


@cache
def tiny_generator() -> TrainedGenerator:
    torch.manual_seed(0)
    network = Generator(CONFIG).eval().requires_grad_(False)
    return TrainedGenerator(network, spread(), THRESHOLDS, {}, "0" * 64)


def write_tiny(path: Path) -> None:
    save_generator(path, tiny_generator().network, spread(), THRESHOLDS, {"steps": "0"})


def face_at(x: float, y: float, width: float, score: float = 0.99) -> Detection:
    """A frontal face of `width` pixels around (x, y)."""
    half = width / 2
    points: Landmarks = np.array(
        [[x - half / 2, y - half / 3], [x + half / 2, y - half / 3], [x, y + half / 8],
         [x - half / 2.5, y + half / 1.8], [x + half / 2.5, y + half / 1.8]], dtype=np.float32,
    )  # fmt: skip
    return Detection((x - half, y - half * 1.2, x + half, y + half * 1.2), score, points)


def noise(height: int, width: int, seed: int = 0) -> ImageArray:
    """A picture in which every region differs from every other."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


class FakeDetector:
    """Finds the faces it was told about, whatever it is shown."""

    name = "fake"

    def __init__(self, faces: list[Detection]) -> None:
        self.faces = faces

    def detect(self, image: ImageArray) -> list[Detection]:
        return list(self.faces)

    def detect_every(self, image: ImageArray, excused: Excused | None = None) -> list[Detection]:
        return self.detect(image)


class FakeRecognizer:
    """Answers with a given similarity to the first face it was shown: 1 for that one, then `similarities` in turn."""

    name = "fake"
    dim = 2
    digest = "f" * 64

    def __init__(self, similarities: list[float]) -> None:
        self._answers = [1.0, *similarities]
        self._calls = 0

    def embed(self, images: list[ImageArray], landmarks: list[Landmarks]) -> np.ndarray:
        rows = []
        for _ in images:
            cosine = self._answers[min(self._calls, len(self._answers) - 1)]
            rows.append([cosine, np.sqrt(1 - cosine**2)])
            self._calls += 1
        return np.array(rows, dtype=np.float32)

    def threshold(self, fmr: float) -> float:
        return 0.5
