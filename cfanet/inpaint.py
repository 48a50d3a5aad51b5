"""Filling a hole in a picture from what surrounds it: the membrane (harmonic) interpolant of the known pixels.

The Laplace equation with the known pixels as boundary values, solved from coarse to fine: on each level the coarser
solution is the start, and a few Jacobi sweeps smooth it. The values are means of known pixels, never outside their
range, and nothing else goes into them.
"""

import numpy as np
import numpy.typing as npt

_SWEEPS = 8  # on each level

Colours = npt.NDArray[np.float64]


def inpaint(region: Colours, known: npt.NDArray[np.bool_]) -> Colours:
    """The (h, w, 3) region with its unknown pixels filled; `known` (h, w), whose pixels stay as they are.

    What the unknown pixels held does not matter. ValueError where nothing is known.
    """
    if not known.any():
        raise ValueError("no pixel is known: there is nothing to fill the others from")
    if known.all():
        return region.copy()
    height, width = known.shape
    weight = _halved(known[..., None].astype(np.float64))
    means = _halved(np.where(known[..., None], region, 0.0)) / np.maximum(weight, 1.0)
    if weight.size == 1:
        return np.where(known[..., None], region, means)
    coarse = inpaint(means, weight[..., 0] > 0)
    start = coarse.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
    filled: Colours = np.where(known[..., None], region, start)
    for _ in range(_SWEEPS):
        around = np.pad(filled, ((1, 1), (1, 1), (0, 0)), mode="edge")
        means = (around[:-2, 1:-1] + around[2:, 1:-1] + around[1:-1, :-2] + around[1:-1, 2:]) / 4.0
        filled = np.where(known[..., None], region, means)
    return filled


def _halved(values: Colours) -> Colours:
    """Sums over 2 × 2 blocks of (h, w, c); an odd last row or column is a block of its own."""
    height, width = values.shape[:2]
    even = np.pad(values, ((0, height % 2), (0, width % 2), (0, 0)))
    sums: Colours = even[0::2, 0::2] + even[1::2, 0::2] + even[0::2, 1::2] + even[1::2, 1::2]
    return sums
