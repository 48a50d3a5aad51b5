"""Stopwatch and memory."""

import time

from jobs.timing import Stopwatch, peak_memory_bytes


def test_steps_add_up_even_when_they_fail() -> None:
    clock = Stopwatch()
    for _ in range(2):
        with clock.step("a"):
            time.sleep(0.02)
    try:
        with clock.step("b"):
            raise ValueError
    except ValueError:
        pass
    assert clock.seconds["a"] >= 0.04 and "b" in clock.seconds


def test_peak_memory_is_in_bytes() -> None:
    assert 10 * 2**20 < peak_memory_bytes() < 2**40
