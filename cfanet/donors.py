"""Faces of other people that the older methods borrow from: aligned crops in one file, named by its digest.

The file is as private as the pictures it was made from. It is one safetensors file: `crops` (N, 3, S, S) uint8 RGB,
aligned as the generator's crops are, and `points` (N, 5, 2) float32, the five landmarks in them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from cfanet.errors import ConfigError, InputError
from cfanet.recognizers import file_digest

FORMAT = "cfanet-donors/1"  # changes with the alignment of crops
_AT_ONCE = 256  # crops that are float32 at one time


@dataclass(frozen=True, eq=False)
class Donors:
    """Aligned faces, in the order of their file."""

    crops: Tensor  # (N, 3, S, S) uint8 RGB
    points: Tensor  # (N, 5, 2) float32, crop pixels
    digest: str  # SHA-256 of the file, hex

    @property
    def size(self) -> int:
        """Side of a crop in pixels."""
        return int(self.crops.shape[-1])


def save_donors(path: Path, crops: Tensor, points: Tensor, notes: Mapping[str, str]) -> None:
    """Write (N, 3, S, S) uint8 crops and their (N, 5, 2) landmarks; `notes` go into the header."""
    tensors = {"crops": crops.contiguous(), "points": points.float().contiguous()}
    save_file(tensors, str(path), metadata={"format": FORMAT, **notes})


def load_donors(path: Path, at_least: int) -> Donors:
    """Read a file of donors; ConfigError where none is named, InputError where it cannot be used."""
    if not path.name:
        raise ConfigError("this method borrows faces: name a file of donors in anonymize.donors.file")
    try:
        with safe_open(str(path), framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is not a readable file of donors ({error}): make one first") from error
    if header.get("format") != FORMAT:
        raise InputError(f"{path} is not a {FORMAT} file: make it again with this version")
    donors = Donors(tensors["crops"], tensors["points"], file_digest(path))
    if len(donors.crops) < at_least:
        raise ConfigError(f"{path} holds {len(donors.crops)} donors, {at_least} are needed: add some, or ask for less")
    return donors


def as_crop(crop: Tensor) -> Tensor:
    """(3, S, S) of any float or uint8 in [0, 255] → (1, 3, S, S) float32 in [-1, 1]."""
    return crop[None].float() / 127.5 - 1.0


def as_bytes(crop: Tensor) -> Tensor:
    """(1, 3, S, S) float32 in [-1, 1] → (1, 3, S, S) float32 in [0, 255]."""
    return (crop.clamp(-1.0, 1.0) + 1.0) * 127.5


def sketch(crops: Tensor) -> Tensor:
    """What distances are taken on: luminance, 32 × 32; (N, 3, S, S) in [0, 255] → (N, 1024) float32."""
    weights = torch.tensor([0.299, 0.587, 0.114])
    return torch.einsum("nck,c->nk", shrink(crops, 32).reshape(len(crops), 3, -1), weights)


def shrink(crops: Tensor, side: int) -> Tensor:
    """Area averages: (N, 3, S, S) of any number type → (N, 3 · side²) float32; N may be large."""
    parts = (crops[start : start + _AT_ONCE].float() for start in range(0, len(crops), _AT_ONCE))
    return torch.cat([F.interpolate(part, size=(side, side), mode="area").flatten(1) for part in parts])
