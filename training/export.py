"""From a run's averaged weights to the generator file users load: spread, thresholds, and where it comes from."""

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cfanet.networks.generator import Generator
from cfanet.recognizers import file_digest
from cfanet.weights import load_generator, save_generator
from training.data import FaceSet, data_digest, real_spread
from training.guide import Guide
from training.loop import Trainer
from training.measure import measure_generator

FMRS = (5e-2, 1e-2, 1e-3, 1e-4)  # the loosest for a loop that is stricter towards the original
_MIN_FALSE_MATCHES = 5  # a threshold rests on at least so many non-mated pairs above it


@torch.inference_mode()
def identity_vectors(generator: Generator, pictures: Tensor, batch: int = 64) -> Tensor:
    """z_id of (N, 3, R, R) uint8 pictures; (N, d) float32 unit-norm."""
    device = next(generator.parameters()).device
    parts = [generator.identify(part.to(device).float() / 127.5 - 1.0).cpu() for part in torch.split(pictures, batch)]
    return torch.cat(parts)


def fit_thresholds(vectors: Tensor, identity: Tensor) -> dict[float, float]:
    """Similarity thresholds of `vectors` (N, d) at each FMR the number of non-mated pairs supports."""
    similarity = (vectors.double() @ vectors.double().T).numpy()
    rows, columns = np.triu_indices(len(vectors), 1)
    labels = identity.numpy()
    impostors = np.sort(similarity[rows, columns][labels[rows] != labels[columns]])[::-1]
    thresholds = {}
    for fmr in FMRS:
        allowed = int(fmr * len(impostors))
        if allowed >= _MIN_FALSE_MATCHES:
            thresholds[fmr] = float(impostors[allowed])  # `allowed` pairs lie strictly above
    return thresholds


def export_generator(path: Path, trainer: Trainer, faces: tuple[FaceSet, FaceSet]) -> dict[float, float]:
    """Write the run's averaged generator; `faces` are (training, held-out). Returns the thresholds stored with it.

    The header tells what it was made from (data, recognizers, steps, losses, start, code) and its metrics on people
    held out.
    """
    settings = trainer.settings
    start = load_generator(str(settings.start)) if settings.start is not None else None
    before = int(start.metadata.get("pictures_seen", "0")) if start is not None else 0
    notes = {
        "steps": str(trainer.step),
        "pictures_seen": str(before + trainer.step * settings.schedule.batch),
        "start": start.digest if start is not None else "",
        "data": data_digest(settings.data),
        "guides": json.dumps({g.recognizer.name: g.recognizer.digest for g in (trainer.guide, *trainer.more_guides)}),
        "landmarks": file_digest(settings.landmarks) if settings.landmarks is not None else "",
        "losses": json.dumps(settings.losses.model_dump(), sort_keys=True),
        "network": json.dumps(settings.network.model_dump(), sort_keys=True),
    }
    return write_generator(path, trainer.average.eval(), trainer.guide, faces, notes)


def write_generator(
    path: Path, generator: Generator, guide: Guide, faces: tuple[FaceSet, FaceSet], notes: Mapping[str, str]
) -> dict[float, float]:
    """Write a generator with its identity branch's thresholds and its metrics; `faces` are (training, held-out).

    `notes` say where it comes from, and what they name counts. Returns the thresholds.
    """
    training, held_out = faces
    thresholds = fit_thresholds(identity_vectors(generator, held_out.pictures), held_out.identity)
    spread = real_spread(training)
    metrics = measure_generator(generator, guide, held_out, spread)
    measured = {
        "training_faces": str(len(training)),
        "held_out_faces": str(len(held_out)),
        "metrics": json.dumps({name: round(value, 4) for name, value in metrics.items()}, sort_keys=True),
        "code": version("cfanet"),
    }
    save_generator(path, generator, spread, thresholds, {**measured, **notes})
    return thresholds
