"""Nose and mouth of a new face put back where they lay: pose and smile are the original's, whoever the face is.

A generator that gives a longer nose or a wider mouth changes with them where a head seems to look and how broadly it
smiles. MTCNN's last network looks for the five landmarks in the old and in the new aligned crop, in the same squares:
an error common to both falls out. The new crop is then bent, smoothly and around the landmarks only.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from cfanet.face import Face, known
from cfanet.mtcnn_networks import onet

_SIDES = (0.65, 0.85)  # of the squares in the middle of the crop, in units of its side; their mean is taken
_INPUT = 48  # pixels that O-Net looks at
_NOSE, _MOUTH = 2, (3, 4)  # rows of the five landmarks; the eyes stay where they are
_REACH = 0.16  # standard deviation of what one landmark drags along, in units of the crop's side
_RIDGE = 0.05  # keeps neighbouring landmarks from pulling against one another


class LandmarkKeeper:
    """O-Net, and a smooth displacement for what it finds."""

    def __init__(self, share: float, device: torch.device | str = "cpu") -> None:
        """`share` in (0, 1] of the way back is gone; O-Net comes with facenet-pytorch."""
        self._share = share
        self._device = torch.device(device)
        self._onet = onet().to(self._device).to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def points(self, crops: Tensor) -> Tensor:
        """Five landmarks of (N, 3, R, R) aligned crops in [-1, 1], R ≥ 16: (N, 5, 2) x, y in units of R."""
        side = crops.shape[-1]
        looks, frames = [], []
        for share in _SIDES:
            start = round((1.0 - share) / 2 * side)
            square = crops[..., start : side - start, start : side - start].to(self._device)
            looks.append(F.interpolate(square.float(), size=(_INPUT, _INPUT), mode="area"))
            frames.append((start / side, 1.0 - 2 * start / side))
        squares = torch.cat(looks).clamp(-1.0, 1.0).contiguous(memory_format=torch.channels_last)
        seen = self._onet(squares)[1].view(len(_SIDES), len(crops), 2, 5).transpose(2, 3)
        placed: list[Tensor] = [start + width * points for (start, width), points in zip(frames, seen, strict=True)]
        return torch.stack(placed).mean(0)

    def of(self, face: Face) -> Tensor:
        """The landmarks of a face's own crop, looked for once; (1, 5, 2)."""
        if face.places is None:
            face.places = self.points(known(face.crop))
        return face.places

    @torch.inference_mode()
    def put_back(self, crops: Tensor, old: Tensor) -> Tensor:
        """New faces (N, 3, R, R) bent towards the landmarks (N, 5, 2) of their originals; the same shape.

        The nose goes `share` of its way back, and the mouth is made as much wider or narrower along the line of the
        crop's rows. What is where it was stays untouched.
        """
        return bend(crops, old, self._share * asked(old, self.points(crops)))


def asked(old: Tensor, new: Tensor) -> Tensor:
    """By how much landmarks (N, 5, 2) at `old` miss their places, x, y: the nose, and the width of the mouth."""
    apart = new - old
    left, right = _MOUTH
    wider = (apart[:, right, 0] - apart[:, left, 0]) / 2
    wanted = torch.zeros_like(apart)
    wanted[:, _NOSE] = apart[:, _NOSE]
    wanted[:, right, 0], wanted[:, left, 0] = wider, -wider
    return wanted


def bend(crops: Tensor, places: Tensor, shifts: Tensor) -> Tensor:
    """Show at `places` what lies `shifts` further in crops (N, 3, R, R); both (N, K, 2) x, y in units of R.

    The displacement is a sum of Gaussians around the places; where all shifts are 0 the crop is returned as it is.
    """
    side = crops.shape[-1]
    near = torch.exp(-_squared_distances(places, places) / (2 * _REACH**2))
    weights = torch.linalg.solve(near + _RIDGE * torch.eye(places.shape[1], device=near.device), shifts)
    centres = (torch.arange(side, device=crops.device, dtype=places.dtype) + 0.5) / side
    pixels = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), dim=-1).view(1, -1, 2)
    moved = pixels + torch.exp(-_squared_distances(pixels, places) / (2 * _REACH**2)) @ weights
    grid = (2 * moved - 1).view(len(crops), side, side, 2)
    bent = F.grid_sample(crops.float(), grid, mode="bicubic", padding_mode="border", align_corners=False)
    return torch.where((shifts == 0).all(2).all(1)[:, None, None, None], crops.float(), bent)


def _squared_distances(one: Tensor, two: Tensor) -> Tensor:
    """(N, P, 2) and (N, K, 2) → (N, P, K)."""
    return (one[:, :, None] - two[:, None]).square().sum(-1)
