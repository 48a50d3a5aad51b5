"""Where one region of a picture is found in another: normalized correlation of what is known of both."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.signal import correlate


@dataclass(frozen=True, eq=False)
class Region:
    """A region of a grey picture at some size."""

    values: npt.NDArray[np.float64]  # (h, w) grey levels
    known: npt.NDArray[np.bool_]  # (h, w): what of it lies in the picture


def correlation(around: Region, patch: Region, overlap: float) -> npt.NDArray[np.float64]:
    """Pearson's r of a patch (h, w) with each place of a larger region (H, W): (H − h + 1, W − w + 1) in [−1, 1].

    Only pixels count that are known in both (Padfield, 2012, eq. 10): what is made up beyond the border of a picture
    would stand still while a face walks out. At least `overlap` of the patch's known pixels must, and their standard
    deviation be more than a grey level in both; where not, −1.
    """
    weight, there = patch.known.astype(np.float64), around.known.astype(np.float64)
    middle = patch.values[patch.known].mean() if patch.known.any() else 0.0  # r does not change, rounding errors do
    one, other = (patch.values - middle) * weight, (around.values - middle) * there

    def sums(large: npt.NDArray[np.float64], small: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        found: npt.NDArray[np.float64] = correlate(large, small, mode="valid", method="fft")
        return found

    count = np.rint(sums(there, weight))
    shared = np.maximum(count, 1.0)
    one_sum, other_sum = sums(there, one), sums(other, weight)
    one_square = sums(there, one**2) - one_sum**2 / shared
    other_square = sums(other**2, weight) - other_sum**2 / shared
    both = sums(other, one) - one_sum * other_sum / shared
    able = (count >= max(1.0, overlap * weight.sum())) & (np.minimum(one_square, other_square) > shared)
    spread = np.sqrt(np.where(able, one_square * other_square, 1.0))
    return np.where(able, both / spread, -1.0)
