"""Suppression of boxes is that of the libraries whose networks the thresholds were made for."""

import numpy as np
import pytest
import torch
from facenet_pytorch.models.utils.detect_face import nms_numpy
from torchvision.ops import batched_nms

from cfanet.nms import nms_by_group, nms_of_smaller


def boxes(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Squares that overlap much, and a score for each."""
    random = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=random) * 100
    side = 10 + torch.rand(count, 1, generator=random) * 40
    return torch.cat([corner, corner + side], dim=1), torch.rand(count, generator=random)


@pytest.mark.parametrize("count", [0, 1, 40, 1_500])
def test_by_group_it_is_torchvisions(count: int) -> None:
    squares, scores = boxes(count, 1)
    groups = torch.arange(count) % 5
    kept = nms_by_group(squares, scores, groups, 0.5)
    assert kept.tolist() == batched_nms(squares, scores, groups, 0.5).tolist()
    assert count < 300 or 5 < len(kept) < count


@pytest.mark.parametrize("count", [0, 1, 40, 300])
def test_of_the_smaller_it_is_facenet_pytorchs(count: int) -> None:
    squares, scores = (t.numpy() for t in boxes(count, 2))
    kept = nms_of_smaller(squares, scores, 0.7)
    assert kept.tolist() == (nms_numpy(squares, scores, 0.7, "Min").astype(np.int64).tolist() if count else [])
    assert count < 300 or 5 < len(kept) < count
