import numpy as np
import pytest

from cfanet.inpaint import inpaint


def hole(height: int, width: int) -> np.ndarray:
    """Known but for a block in the middle."""
    known = np.ones((height, width), bool)
    known[height // 4 : height - height // 4, width // 4 : width - width // 4] = False
    return known


@pytest.mark.parametrize("shape", [(48, 64), (47, 33), (5, 9), (130, 131)])
def test_a_slope_goes_on_through_the_hole(shape: tuple[int, int]) -> None:
    """A plane solves the Laplace equation, so that what is filled in must be near it."""
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(float)
    plane = np.stack([rows, columns, rows - columns], axis=2) / max(shape)
    known = hole(*shape)
    filled = inpaint(np.where(known[..., None], plane, 99.0), known)
    assert np.array_equal(filled[known], plane[known])
    assert np.abs(filled - plane).max() < 0.06 * (plane.max() - plane.min())


def test_nothing_is_brighter_or_darker_than_what_is_known() -> None:
    random = np.random.default_rng(0)
    region = random.uniform(20.0, 200.0, (60, 50, 3))
    known = random.random((60, 50)) < 0.2
    known[10:40, 5:45] = False
    filled = inpaint(np.where(known[..., None], region, 1e6), known)
    assert filled.min() >= region[known].min() - 1e-9 and filled.max() <= region[known].max() + 1e-9


def test_one_known_pixel_is_enough_and_none_is_too_few() -> None:
    known = np.zeros((7, 12), bool)
    region = np.zeros((7, 12, 3))
    with pytest.raises(ValueError, match="known"):
        inpaint(region, known)
    known[3, 4], region[3, 4] = True, (1.0, 2.0, 3.0)
    assert np.allclose(inpaint(region, known), (1.0, 2.0, 3.0))
