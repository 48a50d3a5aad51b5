"""How far a new face has moved the five landmarks: mouth corners, nose and eyes carry the smile and the pose.

MTCNN's last network looks at both aligned crops, in the same squares. A mean over squares of several sides is steadier
than one look; what it gets wrong of one crop it gets wrong of the other.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from cfanet.mtcnn_networks import onet

_SIDES = (0.6, 0.7, 0.8, 0.9)  # of the squares in the middle of the crop, in units of its side
_INPUT = 48  # pixels that O-Net looks at


class LandmarkShift:
    """O-Net, for aligned crops whose landmarks should lie where they lay."""

    def __init__(self, device: torch.device | str = "cpu") -> None:
        """Load O-Net, which comes with facenet-pytorch."""
        self._device = torch.device(device)
        self._onet = onet().to(self._device).to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def points(self, crops: Tensor) -> Tensor:
        """Five landmarks of (N, 3, R, R) aligned crops in [-1, 1], R ≥ 16: (N, 5, 2) on the CPU, in units of R."""
        side = crops.shape[-1]
        looks, frames = [], []
        for share in _SIDES:
            start = round((1.0 - share) / 2 * side)
            square = crops[..., start : side - start, start : side - start].to(self._device)
            looks.append(F.interpolate(square, size=(_INPUT, _INPUT), mode="area"))
            frames.append((start / side, 1.0 - 2 * start / side))
        squares = torch.cat(looks).clamp(-1.0, 1.0).contiguous(memory_format=torch.channels_last)
        flat = self._onet(squares)[1].cpu()
        seen = flat.view(len(_SIDES), len(crops), 2, 5).transpose(2, 3)
        placed = [start + width * points for (start, width), points in zip(frames, seen, strict=True)]
        return torch.stack(placed).mean(0)

    def __call__(self, old: Tensor, new: Tensor) -> Tensor:
        """Mean distance between the landmarks of (1, 3, R, R) and (N, 3, R, R) crops, in units of R; (N,)."""
        points = self.points(torch.cat([old.to(new), new]))
        return (points[1:] - points[:1]).norm(dim=-1).mean(-1)
