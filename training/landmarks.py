"""Expression and pose kept: a small network that finds facial landmarks, and how far a swap has moved them.

What an expression is made of (lids, lips, the direction of a look) and where chin and nose point are a few pixels that
neither an L1 nor SSIM weighs. A landmark network does. `training.landmark_fit` teaches it.
"""

import itertools
import os
from pathlib import Path
from typing import Final

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from cfanet.errors import WeightsError
from cfanet.networks.layers import DownBlock, Linear, activate

LANDMARK_FORMAT: Final = "cfanet-landmarks-1"
SIDE: Final = 128  # of the crops that the network looks at, pixels
_WIDTHS = (32, 48, 64, 96)  # channels at 64, 32, 16 and 8 pixels


class LandmarkNetwork(nn.Module):
    """K landmarks of an aligned crop, in the order of the points it learned from."""

    mean: Tensor

    def __init__(self, points: int) -> None:
        super().__init__()
        self.entry = nn.Conv2d(3, _WIDTHS[0], 4, stride=2, padding=1)
        self.blocks = nn.Sequential(*(DownBlock(a, b) for a, b in itertools.pairwise(_WIDTHS)))
        self.project = Linear(_WIDTHS[-1] * 64, 2 * points)
        self.register_buffer("mean", torch.zeros(points, 2))

    def forward(self, crops: Tensor) -> Tensor:
        """(N, 3, 128, 128) in [-1, 1] → (N, K, 2) float32, x and y in units of the crop's side."""
        features = self.blocks(activate(self.entry(crops)))
        offsets: Tensor = self.project(features.flatten(1)).float().view(len(crops), -1, 2)
        return self.mean + offsets * 0.05


class LandmarkGuide(nn.Module):
    """A frozen landmark network behind the generator: how far a swap has moved what expression and pose are made of."""

    measures: Tensor

    def __init__(self, network: LandmarkNetwork, measures: Tensor) -> None:
        """`measures` (M, K): what is compared, weighted: a point a row, or a difference of points."""
        super().__init__()
        self.network = network.requires_grad_(False).eval()
        self.register_buffer("measures", measures)

    def forward(self, x: Tensor, cross: Tensor) -> Tensor:
        """Weighted L1 between the landmarks of (N, 3, R, R) crops, in units of the side; (N,). Gradients: `cross`'s."""
        with torch.no_grad():
            wanted = self.network(_seen(x))
        moved = torch.einsum("mk,nkd->nmd", self.measures, self.network(_seen(cross)) - wanted)
        return moved.abs().sum((1, 2))


def save_landmarks(path: Path, network: LandmarkNetwork, measures: Tensor, error: float, source: str) -> None:
    """Write a landmark network and what is compared; `error` as `fit_landmarks` gives it, `source`: whose points."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    header = {"format": LANDMARK_FORMAT, "error": f"{error:.6f}", "source": source}
    part = path.with_name(path.name + ".part")
    save_file({**tensors, "measures": measures.contiguous()}, str(part), metadata=header)
    os.replace(part, path)


def load_landmark_guide(path: Path) -> LandmarkGuide:
    """Read what `save_landmarks` wrote; WeightsError says what is wrong with a file."""
    try:
        with safe_open(str(path), framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            written = (file.metadata() or {}).get("format")
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"landmark network {path} cannot be read: {error}") from error
    if written != LANDMARK_FORMAT:
        raise WeightsError(f"{path} is no landmark network ({written!r}): give a file that `cfanet landmarks` wrote")
    measures = tensors.pop("measures")
    network = LandmarkNetwork(measures.shape[1])
    network.load_state_dict(tensors)
    return LandmarkGuide(network, measures)


def _seen(crops: Tensor) -> Tensor:
    if crops.shape[-1] == SIDE:
        return crops
    return F.interpolate(crops, size=(SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True)


def random_view(count: int, rng: torch.Generator) -> Tensor:
    """`count` random similarities for `affine_grid`, a half of them mirrored; (count, 2, 3)."""
    angle = 0.1 * torch.randn(count, generator=rng)
    scale = 1.0 + 0.06 * torch.randn(count, generator=rng)
    mirror = torch.where(torch.rand(count, generator=rng) < 0.5, -1.0, 1.0)
    shift = 0.05 * torch.randn(count, 2, generator=rng)
    cosine, sine = scale * angle.cos(), scale * angle.sin()
    across = torch.stack([cosine * mirror, -sine, shift[:, 0]], dim=1)
    down = torch.stack([sine * mirror, cosine, shift[:, 1]], dim=1)
    return torch.stack([across, down], dim=1)


def under(view: Tensor, crops: Tensor) -> Tensor:
    """(N, 3, R, R) crops as `random_view` (N, 2, 3) sees them; borders repeat."""
    grid = F.affine_grid(view.to(crops), list(crops.shape), align_corners=False)
    return F.grid_sample(crops, grid, mode="bilinear", padding_mode="border", align_corners=False)
