"""Non-maximum suppression: of boxes that overlap, the one with the highest score stays.

The work is done by torchvision's compiled operator, which is loaded without torchvision itself: importing that imports
torch's compiler, which costs every process seconds and over a hundred megabytes.
"""

import importlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

_LIBRARIES = ("_C_stable.so", "_C.so")  # torchvision's operators, by its version


def nms(boxes: Tensor, scores: Tensor, overlap: float) -> Tensor:
    """Numbers of the (N, 4) boxes that stay, highest score first; `overlap`: too much intersection over union."""
    kept: Tensor = _operator()(boxes, scores, overlap)
    return kept


def nms_by_group(boxes: Tensor, scores: Tensor, groups: Tensor, overlap: float) -> Tensor:
    """The same, but only boxes of one group (N,) suppress each other."""
    kept = [torch.empty(0, dtype=torch.int64, device=boxes.device)]
    for group in torch.unique(groups):
        mine = (groups == group).nonzero()[:, 0]
        kept.append(mine[nms(boxes[mine], scores[mine], overlap)])
    together = torch.cat(kept)
    return together[scores[together].sort(descending=True, stable=True).indices]


def nms_of_smaller(
    boxes: npt.NDArray[np.floating], scores: npt.NDArray[np.floating], overlap: float
) -> npt.NDArray[np.int64]:
    """Numbers of the (N, 4) boxes of whole pixels that stay; `overlap`: share of the smaller box that is too much."""
    areas = (boxes[:, 2:] - boxes[:, :2] + 1).prod(axis=1)
    left, kept = np.argsort(scores)[::-1], []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        sides = np.minimum(boxes[best, 2:], boxes[left, 2:]) - np.maximum(boxes[best, :2], boxes[left, :2]) + 1
        shared = np.maximum(sides, 0).prod(axis=1)
        left = left[shared / np.minimum(areas[best], areas[left]) <= overlap]
    return np.array(kept, np.int64)


@cache
def _operator() -> Any:
    spec = find_spec("torchvision")
    folder = Path((spec.submodule_search_locations or [""])[0]) if spec else Path()
    library = next((folder / name for name in _LIBRARIES if (folder / name).is_file()), None)
    if library is not None:
        torch.ops.load_library(library)  # type: ignore[no-untyped-call]
    else:
        importlib.import_module("torchvision")  # a version that keeps them elsewhere
    return torch.ops.torchvision.nms
