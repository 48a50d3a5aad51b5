"""The three networks of MTCNN (Zhang et al., 2016), run for several searches of one picture together.

Weights and arithmetic are facenet-pytorch's, and so is what a search finds (a test compares). Three things are done
another way, because they took most of the time: what two searches have in common is computed once; maxima are taken
without torch's pooling, which is slow on a CPU for this layout; regions are cut out and shrunk all together, from a
table of sums, with the same result to the last bit.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from cfanet.mtcnn_networks import onet, pnet, rnet
from cfanet.nms import nms, nms_by_group, nms_of_smaller
from cfanet.records import Box, Detection, Excused, ImageArray

_WINDOW = 12  # pixels that P-Net looks at, every _STRIDE pixels
_STRIDE = 2
_R_SIDE, _O_SIDE = 24, 48
_AT_ONCE = 64  # regions that go through a network together; with 200, twice the time went into fetching memory


@dataclass(frozen=True)
class Search:
    """One way to look for faces."""

    smallest: float  # side of the smallest face, pixels
    step: float  # from one size to the next, below 1
    thresholds: tuple[float, float, float]  # of the three networks

    def scales(self, height: int, width: int) -> list[float]:
        """By how much the picture is shrunk, level by level, until P-Net's window no longer fits."""
        scale = _WINDOW / self.smallest
        side, found = min(height, width) * scale, []
        while side >= _WINDOW:
            found.append(scale)
            scale, side = scale * self.step, side * self.step
        return found


@dataclass(eq=False)
class _Candidates:
    """Regions of one picture, and what the networks said about each; searches pick from them by number."""

    boxes: Tensor  # (N, 4) where P-Net looked
    level: Tensor  # (N,) int64
    p_score: Tensor  # (N,)
    squares: Tensor  # (N, 4) where R-Net is to look
    wanted: Tensor  # (N,) bool: not excused
    r_score: Tensor  # (N,), 0 where R-Net did not look
    r_squares: Tensor  # (N, 4) where O-Net is to look
    o_score: Tensor  # (N,)
    faces: Tensor  # (N, 4) as O-Net corrects them
    points: Tensor  # (N, 5, 2)


class Cascade:
    """P-Net, R-Net and O-Net."""

    def __init__(self, device: torch.device | str = "cpu") -> None:
        """Load the networks, which come with facenet-pytorch."""
        self._device = torch.device(device)
        self._pnet, self._rnet, self._onet = (network().to(self._device) for network in (pnet, rnet, onet))
        self._pnet.pool1 = _Maximum(2)  # the others keep torch's: in the layout that they are given it is quick
        for network in (self._rnet, self._onet):
            network.to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def find(
        self, image: ImageArray, searches: Sequence[Search], excused: Excused | None = None
    ) -> list[list[Detection]]:
        """What each search finds in one (H, W, 3) uint8 RGB picture; where levels coincide, the first one's are used.

        Regions that are `excused` are not looked at beyond P-Net.
        """
        height, width = image.shape[:2]
        sums = _Sums(image, self._device)
        levels, of_search = _levels(searches, height, width)
        if not levels:
            return [[] for _ in searches]
        floor = min(search.thresholds[0] for search in searches)
        found = self._propose(sums, levels, floor)
        if excused is not None and len(found.squares):
            found.wanted = ~torch.from_numpy(excused(found.squares.cpu().numpy())).to(self._device)
        alone = nms_by_group(found.boxes, found.p_score, found.level, 0.5)
        picked = []
        for search, own in zip(searches, of_search, strict=True):
            mine = alone[own.to(self._device)[found.level[alone]] & (found.p_score[alone] >= search.thresholds[0])]
            picked.append(mine[nms(found.boxes[mine], found.p_score[mine], 0.7)])
        picked = self._refine(sums, found, picked, searches)
        return self._finish(sums, found, picked, searches)

    def _propose(self, sums: "_Sums", levels: Sequence[float], floor: float) -> _Candidates:
        parts = []
        for number, scale in enumerate(levels):
            level = sums.whole(int(sums.height * scale + 1), int(sums.width * scale + 1))
            moved, probability = self._pnet(_centred(level))
            mask = probability[0, 1] >= floor
            at = mask.nonzero().flip(1).to(torch.float32)
            corner = ((_STRIDE * at + 1) / scale).floor()
            other = ((_STRIDE * at + _WINDOW) / scale).floor()
            score = probability[0, 1][mask][:, None]
            parts.append(torch.cat([corner, other, score, moved[0][:, mask].T, torch.full_like(score, number)], dim=1))
        rows = torch.cat(parts)
        boxes, score = rows[:, :4], rows[:, 4]
        sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
        squares = _squared(boxes + rows[:, 5:9] * sides)
        nothing = torch.zeros_like(score)
        return _Candidates(
            boxes, rows[:, 9].long(), score, squares, torch.ones_like(score, dtype=torch.bool), nothing,
            squares.clone(), nothing.clone(), squares.clone(), squares.new_zeros((len(rows), 5, 2)),
        )  # fmt: skip

    def _refine(
        self, sums: "_Sums", found: _Candidates, picked: Sequence[Tensor], searches: Sequence[Search]
    ) -> list[Tensor]:
        """Let R-Net judge what any search picked; returns what each keeps."""
        chosen, regions = sums.regions(found.squares, _union(picked, found.wanted), _R_SIDE)
        if len(chosen):
            moved, probability = _in_batches(self._rnet, regions)
            found.r_score[chosen] = probability[:, 1]
            found.r_squares[chosen] = _squared(_corrected(found.squares[chosen], moved))
        kept = []
        for mine, search in zip(picked, searches, strict=True):
            passed = mine[found.r_score[mine] > search.thresholds[1]]
            kept.append(passed[nms(found.squares[passed], found.r_score[passed], 0.7)])
        return kept

    def _finish(
        self, sums: "_Sums", found: _Candidates, picked: Sequence[Tensor], searches: Sequence[Search]
    ) -> list[list[Detection]]:
        """Let O-Net judge what is left; returns the faces of each search."""
        chosen, regions = sums.regions(found.r_squares, _union(picked, found.wanted), _O_SIDE)
        if len(chosen):
            moved, points, probability = _in_batches(self._onet, regions)
            squares = found.r_squares[chosen]
            sides = (squares[:, 2:] - squares[:, :2] + 1)[:, None, :]
            found.o_score[chosen] = probability[:, 1]
            found.faces[chosen] = _corrected(squares, moved)
            found.points[chosen] = points.view(-1, 2, 5).transpose(1, 2) * sides + squares[:, None, :2] - 1
        results = []
        for mine, search in zip(picked, searches, strict=True):
            passed = mine[found.o_score[mine] > search.thresholds[2]]
            values = [t[passed].cpu().numpy() for t in (found.faces, found.o_score, found.points)]
            keep = nms_of_smaller(values[0], values[1], 0.7)
            results.append([_detection(*(value[k] for value in values)) for k in keep])
        return results


class _Sums:
    """A picture as a table of sums over its upper left parts, from which the mean of any rectangle is four look-ups.

    The sums are integers and may wrap around: differences are right all the same, up to 8 million pixels a mean.
    """

    def __init__(self, image: ImageArray, device: torch.device) -> None:
        self.height, self.width = image.shape[:2]
        table = torch.zeros((self.height + 1, self.width + 1, 4), dtype=torch.int32, device=device)
        table[1:, 1:, :3] = torch.tensor(image).to(device)
        self._table = table.cumsum(0, dtype=torch.int32).cumsum(1, dtype=torch.int32)

    def whole(self, height: int, width: int) -> Tensor:
        """The picture in another size, each pixel a mean: (1, 3, height, width) float32 in [0, 255]."""
        top, bottom = _cells(torch.tensor([self.height]), height)
        left, right = _cells(torch.tensor([self.width]), width)
        top, bottom, left, right = (t[0].to(self._table.device) for t in (top, bottom, left, right))
        bands = self._table.index_select(0, bottom) - self._table.index_select(0, top)
        total = bands.index_select(1, right) - bands.index_select(1, left)
        means = total[..., :3].permute(2, 0, 1)[None].to(torch.float32, memory_format=torch.contiguous_format)
        return means / (bottom - top)[:, None] / (right - left)

    def regions(self, boxes: Tensor, wanted: Tensor, side: int) -> tuple[Tensor, Tensor]:
        """The `wanted` (numbers) of `boxes` as (N, 3, side, side) pictures, centred; without those that are outside."""
        ends = boxes[wanted].trunc().long()
        x0, y0 = ends[:, 0].clamp(min=1) - 1, ends[:, 1].clamp(min=1) - 1
        x1, y1 = ends[:, 2].clamp(max=self.width), ends[:, 3].clamp(max=self.height)
        there = (x1 > x0) & (y1 > y0)
        wanted, x0, y0, x1, y1 = (t[there] for t in (wanted, x0, y0, x1, y1))
        left, right = _cells(x1 - x0, side)
        top, bottom = _cells(y1 - y0, side)
        across, down = (right - left).float(), (bottom - top).float()
        line = self.width + 1
        flat = self._table.view(-1, 4)

        def sums(rows: Tensor, columns: Tensor) -> Tensor:
            places = ((rows + y0[:, None]) * line)[:, :, None] + (columns + x0[:, None])[:, None, :]
            return flat.index_select(0, places.view(-1))

        total = sums(bottom, right) - sums(top, right) - sums(bottom, left) + sums(top, left)
        means = total.view(-1, side, side, 4)[..., :3].permute(0, 3, 1, 2).float()
        means = means / down[:, None, :, None] / across[:, None, None, :]
        return wanted, _centred(means).contiguous(memory_format=torch.channels_last)


class _Maximum(nn.Module):
    """Max-pooling with stride 2 of (N, C, H, W), the last window cut off by the border: along rows, then columns."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self._side = side

    def forward(self, x: Tensor) -> Tensor:
        for dimension in (2, 3):
            windows = math.ceil((x.shape[dimension] - self._side) / 2) + 1
            missing = 2 * (windows - 1) + self._side - x.shape[dimension]
            if missing > 0:
                padding = (0, 0, 0, missing) if dimension == 2 else (0, missing)
                x = nn.functional.pad(x, padding, value=-math.inf)
            pieces = [x.narrow(dimension, first, 2 * windows - 1) for first in range(self._side)]
            pieces = [piece[:, :, ::2] if dimension == 2 else piece[..., ::2] for piece in pieces]
            x = pieces[0]
            for piece in pieces[1:]:
                x = torch.maximum(x, piece)
        return x


def _levels(searches: Sequence[Search], height: int, width: int) -> tuple[list[float], list[Tensor]]:
    """Scales of all searches, each once; and for each search which of them are its own, (levels,) bool."""
    levels: dict[float, float] = {}
    for search in searches:
        for scale in search.scales(height, width):
            levels.setdefault(round(scale, 6), scale)
    own = [{round(scale, 6) for scale in search.scales(height, width)} for search in searches]
    return list(levels.values()), [torch.tensor([key in mine for key in levels]) for mine in own]


def _cells(length: Tensor, cells: int) -> tuple[Tensor, Tensor]:
    """First pixel and the one after the last of each cell when (N,) lengths are cut in `cells`: (N, cells) each."""
    number = torch.arange(cells, device=length.device)
    return number * length[:, None] // cells, -(-(number + 1) * length[:, None] // cells)


def _centred(pixels: Tensor) -> Tensor:
    centred: Tensor = (pixels - 127.5) * 0.0078125
    return centred


def _squared(boxes: Tensor) -> Tensor:
    """Boxes grown to squares about their middles."""
    sides = boxes[:, 2:] - boxes[:, :2]
    side = sides.amax(dim=1, keepdim=True)
    corner = boxes[:, :2] + sides * 0.5 - side * 0.5
    return torch.cat([corner, corner + side], dim=1)


def _corrected(boxes: Tensor, moved: Tensor) -> Tensor:
    return boxes + moved * (boxes[:, 2:] - boxes[:, :2] + 1).repeat(1, 2)


def _union(picked: Sequence[Tensor], wanted: Tensor) -> Tensor:
    """Numbers that any search picked and nothing excuses, each once."""
    numbers: Tensor = torch.unique(torch.cat(list(picked)))
    return numbers[wanted[numbers]]


def _in_batches(network: nn.Module, regions: Tensor) -> tuple[Tensor, ...]:
    parts = [network(regions[start : start + _AT_ONCE]) for start in range(0, len(regions), _AT_ONCE)]
    return tuple(torch.cat(part) for part in zip(*parts, strict=True))


def _detection(box: np.ndarray, score: np.ndarray, points: np.ndarray) -> Detection:
    return Detection(cast(Box, tuple(float(v) for v in box)), float(score), points.astype(np.float32))
