"""R_id behind the generator: the recognizer's view of a generated crop, shaken so that no pixel trick satisfies it."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cfanet.align import at_resolution, crop_points, invert, similarity_transform
from cfanet.recognizers import TorchRecognizer
from training.input_gradient import with_cheap_gradient
from training.losses import luminance

_SMALLEST_VIEW = 48  # side in pixels below which a crop does not show enough for R_id to know the person


class Sight(nn.Module):
    """The recognizer on given windows of crops; tensors in, a tensor out, so that a GPU can record it."""

    def __init__(self, recognizer: TorchRecognizer) -> None:
        super().__init__()
        self._descriptor = recognizer.descriptor
        self._network = with_cheap_gradient(recognizer.network)

    def forward(self, crops: Tensor, theta: Tensor) -> Tensor:
        """(N, 3, R, R) in [-1, 1] and `affine_grid`'s (N, 2, 3) → (N, d) float32 unit-norm."""
        size = (self._descriptor.height, self._descriptor.width)
        grid = F.affine_grid(theta, [len(crops), 3, *size], align_corners=False)
        view = F.grid_sample(crops, grid.to(crops.dtype), mode="bilinear", padding_mode="border", align_corners=False)
        view = view.contiguous(memory_format=torch.channels_last)
        values = ((view + 1.0) * 127.5 - self._descriptor.mean) / self._descriptor.std
        # One view instead of the mirrored sum: half the cost, and the shift makes up for what it loses.
        return F.normalize(self._network(values).float(), dim=-1)


class Guide(nn.Module):
    """Frozen R_id on the generator's crops: a fixed sub-window of them is the recognizer's own aligned crop."""

    window: Tensor

    def __init__(self, recognizer: TorchRecognizer, resolution: int) -> None:
        super().__init__()
        self.recognizer = recognizer
        self.sight = Sight(recognizer)
        points = np.array(recognizer.descriptor.points, dtype=np.float32)
        inverse = invert(similarity_transform(crop_points(resolution), points))
        # From pixel to grid_sample's coordinates on both sides.
        height, width = recognizer.descriptor.height, recognizer.descriptor.width
        to_pixel = np.array([[width / 2, 0, width / 2 - 0.5], [0, height / 2, height / 2 - 0.5], [0, 0, 1]])
        to_unit = np.array([[2, 0, 1 - resolution], [0, 2, 1 - resolution]]) / resolution
        full = np.vstack([inverse, [0, 0, 1]])
        self.register_buffer("window", torch.from_numpy(to_unit @ full @ to_pixel).float())

    def shaken(self, crops: Tensor, rng: torch.Generator, grey_share: float = 0.0) -> tuple[Tensor, Tensor]:
        """(N, 3, R, R) → crops and windows for `sight`, through random blur, shift, scale and light.

        About `grey_share` of them lose their colour.
        """
        crops, theta = _shake(crops, self.window.expand(len(crops), 2, 3), rng)
        if grey_share > 0:
            grey = torch.rand(len(crops), 1, 1, 1, generator=rng) < grey_share
            crops = torch.where(grey.to(crops.device), luminance(crops).expand_as(crops), crops)
        return crops, theta

    def forward(self, crops: Tensor, rng: torch.Generator | None = None, grey_share: float = 0.0) -> Tensor:
        """(N, 3, R, R) → (N, d) float32 unit-norm; with `rng`, shaken."""
        seen = (crops, self.window.expand(len(crops), 2, 3)) if rng is None else self.shaken(crops, rng, grey_share)
        embedding: Tensor = self.sight(*seen)
        return embedding


def _shake(crops: Tensor, theta: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Half of all batches pass a lower resolution; every face is moved, scaled and lit a little differently."""
    n, side = len(crops), crops.shape[-1]
    if torch.rand((), generator=rng) < 0.5:
        least = min(0.9, max(0.5, _SMALLEST_VIEW / side))
        small = int(side * float(torch.empty(()).uniform_(least, 0.9, generator=rng)))
        crops = at_resolution(crops, small)
    gain = 1.0 + 0.1 * torch.randn(n, 1, 1, 1, generator=rng)
    crops = crops * gain.to(crops)
    scale = 1.0 + 0.03 * torch.randn(n, 1, 1, generator=rng)
    shift = 0.02 * torch.randn(n, 2, 1, generator=rng)
    mirror = torch.where(torch.rand(n, 1, 1, generator=rng) < 0.5, -1.0, 1.0)
    linear = theta[:, :, :2] * scale.to(theta) * torch.cat([mirror, torch.ones_like(mirror)], dim=-1).to(theta)
    return crops, torch.cat([linear, theta[:, :, 2:] + shift.to(theta)], dim=-1)
