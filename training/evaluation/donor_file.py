"""A file of donors from any dataset: one clear face a person, aligned, in the order of the samples."""

from collections.abc import Sequence
from pathlib import Path

import torch

from cfanet.align import crop_points, similarity_transform, transform_points, warp
from cfanet.donors import save_donors
from cfanet.errors import InputError
from training.evaluation.bench import Bench, Request, Subject
from training.evaluation.samples import Sample, shards_digest

CROP_SIZE = 128


def write_donors(request: Request, path: Path) -> int:
    """Write one donor a person (every unlabelled picture is a person), at most `limit`; returns how many."""
    bench = Bench(request)
    crops: list[torch.Tensor] = []
    points: list[torch.Tensor] = []
    for sample in _one_each(bench.samples):
        if request.limit is not None and len(crops) >= request.limit:
            break
        look = bench.examiner.look(sample.photo())
        if look.main is None:
            continue
        face = look.faces[Subject(sample, look).face]
        matrix = similarity_transform(face.landmarks, crop_points(CROP_SIZE))
        crop = warp(sample.photo().picture.pixels, matrix, (CROP_SIZE, CROP_SIZE))
        crops.append(((crop + 1.0) * 127.5).round().clamp(0, 255).byte())
        points.append(torch.from_numpy(transform_points(matrix, face.landmarks)).float()[None])
    if not crops:
        raise InputError(f"{request.source} shows no clear face: give pictures of people as donors")
    path.parent.mkdir(parents=True, exist_ok=True)
    save_donors(path, torch.cat(crops), torch.cat(points), {"data": shards_digest(bench.shards)})
    return len(crops)


def _one_each(samples: Sequence[Sample]) -> list[Sample]:
    """The first picture of each person, and every picture of nobody named."""
    seen: set[str] = set()
    chosen = []
    for sample in samples:
        if sample.identity in seen:
            continue
        chosen.append(sample)
        if sample.identity:
            seen.add(sample.identity)
    return chosen
