"""How good a generator is on people it was not trained on: the numbers a run is followed by."""

import torch
from torch import Tensor

from cfanet.identity import IdentityPolicy, propose
from cfanet.networks.generator import Generator
from cfanet.weights import IdentitySpread
from training import losses
from training.data import FaceSet
from training.guide import Guide

_FACES = 128
_BATCH = 32
_ANGLE_DEG = 120.0


@torch.no_grad()
def measure_generator(generator: Generator, guide: Guide, faces: FaceSet, spread: IdentitySpread) -> dict[str, float]:
    """Means over at most 128 faces, evenly chosen; cosines are R_id's unless stated.

    `l1` of restored faces in [-1, 1]; `restored` and `restored_from_z` with their own original, given R_id's vector or
    z_id; `swapped` with the face whose identity was given, `swapped_own` with their original; `moved_own` after 120°
    from z_id, `moved_l1` by how much that changes a crop;
    `z_id` the cosine of z_id with R_id; `z_id_of_moved` the same on moved faces.
    """
    every = max(1, len(faces) // _FACES)
    pictures, embeddings = faces.pictures[::every][:_FACES], faces.embedding[::every][:_FACES]
    # One picture of a person follows another: half of them away is somebody else.
    others = embeddings.roll(len(embeddings) // 2, 0)
    device = next(generator.parameters()).device
    found: dict[str, list[Tensor]] = {}
    for start in range(0, len(pictures), _BATCH):
        rows = slice(start, start + _BATCH)
        x = pictures[rows].to(device).float() / 127.5 - 1.0
        own, other = embeddings[rows].to(device), others[rows].to(device)
        for name, values in _measure(generator, guide, spread, x, own, other).items():
            found.setdefault(name, []).append(values.cpu())
    return {name: float(torch.cat(values).mean()) for name, values in found.items()}


def _measure(
    generator: Generator, guide: Guide, spread: IdentitySpread, x: Tensor, own: Tensor, other: Tensor
) -> dict[str, Tensor]:
    content, z_id = generator.encode(x)
    goals = [
        propose(z.cpu().float(), IdentityPolicy(spread), _ANGLE_DEG, torch.Generator().manual_seed(row))
        for row, z in enumerate(z_id)
    ]
    restored = generator.decode(content, own)
    moved = generator.move(x, content, z_id, torch.stack(goals).to(x))
    swapped, seen_moved = guide(generator.move(x, content, z_id, other)), guide(moved)
    return {
        "l1": losses.reconstruction(x, restored),
        "restored": losses.cosine(guide(restored), own),
        "restored_from_z": losses.cosine(guide(generator.decode(content, z_id)), own),
        "swapped": losses.cosine(swapped, other),
        "swapped_own": losses.cosine(swapped, own),
        "moved_own": losses.cosine(seen_moved, own),
        "moved_l1": losses.reconstruction(x, moved),
        "z_id": losses.cosine(z_id, own),
        "z_id_of_moved": losses.cosine(generator.identify(moved), seen_moved),
    }
