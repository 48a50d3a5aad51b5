"""Numbers as people read them; the gate's sentences and the report use the same."""

import math

_THIN_SPACE = "\u202f"
_PERCENT = "\u00a0%"  # never at the start of a line


def percent(value: float | None) -> str:
    """A share as per cent with two significant digits; "–" where there is none."""
    if value is None:
        return "–"
    shown = value * 100.0
    if shown in (0.0, 100.0):
        return f"{shown:.0f}{_PERCENT}"
    digits = max(0, 1 - math.floor(math.log10(abs(shown))))
    text = f"{shown:.{min(digits, 6)}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) + _PERCENT


def interval(low: float | None, high: float | None) -> str:
    """Two shares as an interval of per cents."""
    if low is None or high is None:
        return "–"
    return f"{percent(low).removesuffix(_PERCENT)} – {percent(high)}"


def number(value: float | None, digits: int = 3) -> str:
    """A real number with fixed digits; "–" where there is none."""
    if value is None:
        return "–"
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0.0 else text.replace("-", "\u2212")


def rounded(value: float) -> str:
    """A number that is known roughly: two significant digits."""
    digits = 1 - math.floor(math.log10(value)) if value > 0 else 0
    shown = round(value, digits)
    return whole(shown) if digits <= 0 else f"{shown:g}"


def whole(value: float | None) -> str:
    """A count, its thousands set apart; "–" where there is none."""
    return "–" if value is None else f"{value:,.0f}".replace(",", _THIN_SPACE)
