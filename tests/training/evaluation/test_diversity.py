"""Pairs of identities."""

import numpy as np
import pytest

from training.evaluation.diversity import pairwise


def test_every_pair_once() -> None:
    rows = [np.array(v, dtype=np.float32) for v in ([1, 0], [0, 1], [-1, 0])]
    assert pairwise(rows).tolist() == pytest.approx([0.0, -1.0, 0.0])
    assert not len(pairwise(rows[:1]))
