"""Rates and the intervals that belong to them. Pure functions on counts."""

import math
from dataclasses import dataclass

from scipy.special import betaincinv, ndtri


@dataclass(frozen=True)
class Rate:
    """`hits` of `n` independent trials, with an exact interval; value and bounds are None when n is 0."""

    hits: int
    n: int
    value: float | None
    low: float | None
    high: float | None


def clopper_pearson(hits: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact two-sided interval of a binomial proportion (Clopper and Pearson, 1934).

    Never shorter than promised. ValueError unless 0 ≤ hits ≤ n and n ≥ 1.
    """
    _check(hits, n, confidence)
    tail = (1.0 - confidence) / 2.0
    low = 0.0 if hits == 0 else float(betaincinv(hits, n - hits + 1, tail))
    high = 1.0 if hits == n else float(betaincinv(hits + 1, n - hits, 1.0 - tail))
    return low, high


def wilson(hits: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Score interval of a binomial proportion (Wilson, 1927): shorter than the exact one, right on average."""
    _check(hits, n, confidence)
    z = float(ndtri(0.5 + confidence / 2.0))
    share, weight = hits / n, 1.0 + z * z / n
    centre = (share + z * z / (2.0 * n)) / weight
    half = z / weight * math.sqrt(share * (1.0 - share) / n + z * z / (4.0 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def upper_bound(hits: int, n: int, confidence: float = 0.95) -> float:
    """One-sided exact upper limit of a proportion; for hits = 0 this is what the rule of three approximates."""
    _check(hits, n, confidence)
    return 1.0 if hits == n else float(betaincinv(hits + 1, n - hits, confidence))


def rule_of_three(n: int, confidence: float = 0.95) -> float:
    """Largest rate that is compatible with no hit in n trials: −ln(1 − confidence)/n, about 3/n at 95 %."""
    _check(0, n, confidence)
    return min(1.0, -math.log(1.0 - confidence) / n)


def trials_for(rate: float, confidence: float = 0.95) -> int:
    """Trials without a hit that are needed before `rate` can be claimed: the rule of three, solved for n."""
    if not 0.0 < rate < 1.0:
        raise ValueError(f"rate {rate} is not in (0, 1)")
    return math.ceil(-math.log(1.0 - confidence) / rate)


def rate(hits: int, n: int, confidence: float = 0.95) -> Rate:
    """`hits` of `n` with the exact interval; without trials there is neither value nor interval."""
    if n == 0 and hits == 0:
        return Rate(0, 0, None, None, None)
    low, high = clopper_pearson(hits, n, confidence)
    return Rate(hits, n, hits / n, low, high)


def _check(hits: int, n: int, confidence: float) -> None:
    if n < 1 or not 0 <= hits <= n:
        raise ValueError(f"{hits} hits in {n} trials is not a proportion: need 0 ≤ hits ≤ n and n ≥ 1")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence {confidence} is not in (0, 1): give 0.95 for 95 %")
