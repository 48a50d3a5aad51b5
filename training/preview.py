"""Pictures of a run under way: held-out faces, restored, swapped, and moved by growing angles."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cfanet.identity import IdentityPolicy, propose
from cfanet.networks.generator import Generator
from cfanet.weights import IdentitySpread
from training.data import FaceSet

ANGLES_DEG = (30.0, 60.0, 90.0, 120.0)


@torch.inference_mode()
def preview(generator: Generator, faces: FaceSet, spread: IdentitySpread, rows: int = 8) -> Tensor:
    """A grid of faces: original, restored, with another's identity, at each of ANGLES_DEG; (3, H, W) uint8."""
    every = max(1, len(faces) // rows)
    x = faces.pictures[::every][:rows].float() / 127.5 - 1.0
    device = next(generator.parameters()).device
    content, z_id = generator.encode(x.to(device))
    others = faces.embedding[::every][:rows].roll(1, 0).to(device)
    x = x.to(device)
    columns = [x.cpu(), generator.decode(content, z_id).cpu(), generator.move(x, content, z_id, others).cpu()]
    policy = IdentityPolicy(spread)
    for angle in ANGLES_DEG:
        rngs = [torch.Generator().manual_seed(row) for row in range(len(x))]
        moved = [propose(z.cpu().float(), policy, angle, rng) for z, rng in zip(z_id, rngs, strict=True)]
        columns.append(generator.move(x, content, z_id, torch.stack(moved).to(device)).cpu())
    grid = torch.cat([torch.cat(list(column.unbind()), dim=1) for column in columns], dim=2)
    return ((grid.clamp(-1, 1) + 1.0) * 127.5).round().byte()


def write_preview(path: Path, grid: Tensor, scale: int = 2) -> None:
    """Save a (3, H, W) uint8 grid as PNG, enlarged."""
    picture = Image.fromarray(np.ascontiguousarray(grid.permute(1, 2, 0).numpy()))
    picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.BICUBIC).save(path)
