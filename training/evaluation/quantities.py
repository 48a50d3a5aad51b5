"""One measured number with everything that belongs to it, or the reason why there is none."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from audit.intervals import rate


@dataclass(frozen=True)
class Measured:
    """A number, its 95 % interval and what it was taken from. None where n allows no value or interval."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    interval: str  # how low and high were found
    hits: int | None = None  # of a rate
    spread: float | None = None  # standard deviation, of a mean

    def __str__(self) -> str:
        """For people: value [low, high], n."""
        if self.value is None:
            return f"– (n = {self.n})"
        bounds = "" if self.low is None or self.high is None else f" [{_digits(self.low)}, {_digits(self.high)}]"
        spread = "" if self.spread is None else f", sd {_digits(self.spread)}"
        count = f"{self.hits:,} of {self.n:,}" if self.hits is not None else f"n = {self.n:,}"
        return f"{_digits(self.value)}{bounds} ({count}{spread})"


@dataclass(frozen=True)
class NotMeasured:
    """Why a number is not here; never replaced by another one under its name."""

    reason: str

    def __str__(self) -> str:
        return f"not measured: {self.reason}"


def proportion(hits: int, n: int) -> Measured:
    """`hits` of `n` with the exact (Clopper–Pearson) interval."""
    found = rate(hits, n)
    return Measured(found.value, found.low, found.high, n, "Clopper–Pearson 95 %", hits)


def mean(values: Sequence[float]) -> Measured:
    """Mean of independent values with Student's interval; NaN is an error of the caller (ValueError)."""
    array = np.asarray(values, dtype=np.float64)
    if np.isnan(array).any():
        raise ValueError("a mean of NaN has no meaning: drop and count such values first")
    n = len(array)
    if n == 0:
        return Measured(None, None, None, 0, "none: no values")
    centre = float(array.mean())
    if n == 1:
        return Measured(centre, None, None, 1, "none: one value")
    spread = float(array.std(ddof=1))
    half = float(stdtrit(n - 1, 0.975)) * spread / math.sqrt(n)
    return Measured(centre, centre - half, centre + half, n, "Student's t 95 %", spread=spread)


def correlation(a: Sequence[float], b: Sequence[float]) -> Measured:
    """Pearson's r with Fisher's interval; no value where one side does not vary or n < 3."""
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    n = len(x)
    if n < 3 or x.std() == 0.0 or y.std() == 0.0:
        return Measured(None, None, None, n, "none: no variation or fewer than 3 values")
    r = float(np.corrcoef(x, y)[0, 1])
    if n < 4 or abs(r) >= 1.0 - 1e-12:
        return Measured(r, None, None, n, "none: fewer than 4 values, or r is ±1")
    half = float(ndtri(0.975)) / math.sqrt(n - 3)
    centre = math.atanh(r)
    return Measured(r, math.tanh(centre - half), math.tanh(centre + half), n, "Fisher's z 95 %")


def plain(value: float | None, n: int) -> Measured:
    """A number that has no interval of its own: a quantile, a threshold, a distance."""
    return Measured(value, None, None, n, "none")


def _digits(value: float) -> str:
    """Four significant digits without exponents where that is short."""
    if value != 0.0 and abs(value) < 1e-3:
        return f"{value:.2g}"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}"
