"""Fréchet distance between two sets of embeddings (Dowson and Landau, 1982), whatever network they come from."""

import numpy as np
import numpy.typing as npt
from scipy.linalg import sqrtm

Rows = npt.NDArray[np.floating]


def frechet_distance(a: Rows, b: Rows) -> float:
    """|μa − μb|² + tr(Σa + Σb − 2(ΣaΣb)^½) of (N, d) and (M, d); ValueError unless both have more rows than columns.

    With fewer rows the covariances are singular and the distance says more about n than about the pictures.
    """
    if min(len(a), len(b)) <= a.shape[1]:
        raise ValueError(
            f"{min(len(a), len(b))} embeddings of {a.shape[1]} dimensions: more rows than columns are needed"
        )
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    cov_x, cov_y = np.cov(x.T), np.cov(y.T)
    root = sqrtm(cov_x @ cov_y)
    shift = x.mean(0) - y.mean(0)
    return float(shift @ shift + np.trace(cov_x) + np.trace(cov_y) - 2.0 * np.trace(np.real(root)))
