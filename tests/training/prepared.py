"""A prepared folder of made-up faces, four pictures each of three people (or of others), and four without a label."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from training.prepare import PreparedFaces, TrainingFace

PEOPLE = ("ada", "ben", "cyd", "")


def write_prepared(folder: Path, side: int = 32, dim: int = 16, people: Sequence[str] = PEOPLE) -> None:
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    faces = []
    for number, person in enumerate(tuple(people) * 4):
        embedding = rng.normal(size=dim).astype(np.float32)
        crop = rng.integers(0, 256, (side, side, 3)).astype(np.uint8)
        landmarks = rng.uniform(0, side, (5, 2)).astype(np.float32)
        faces.append(TrainingFace(f"{number:03}", person, crop, landmarks, embedding / np.linalg.norm(embedding)))
    for extension, data in PreparedFaces(tuple(faces), len(faces), {}).files().items():
        (folder / f"made-up{extension}").write_bytes(data)
