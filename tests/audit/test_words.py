import pytest

from audit.words import interval, number, percent, rounded, whole


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0 %"),
        (1.0, "100 %"),
        (0.01, "1 %"),
        (0.0027, "0.27 %"),
        (0.123, "12 %"),
        (0.0000123, "0.0012 %"),
    ],
)
def test_percentages_have_two_digits(value: float | None, text: str) -> None:
    assert percent(value) == text.replace(" ", "\u00a0")


def test_what_is_not_known_is_a_dash() -> None:
    assert (percent(None), interval(None, None), number(None), whole(None)) == ("–",) * 4


def test_intervals_and_counts() -> None:
    assert interval(0.0, 0.0027) == "0 – 0.27\u00a0%"
    assert (whole(1234567), number(0.12345, 2)) == ("1\u202f234\u202f567", "0.12")
    assert (number(-0.0004), number(-0.5, 1)) == ("0.000", "\u22120.5")


def test_what_is_known_roughly_is_said_roughly() -> None:
    assert [rounded(value) for value in (1707.5, 7.93, 0.0, 12.4, 0.456)] == ["1\u202f700", "7.9", "0", "12", "0.46"]
