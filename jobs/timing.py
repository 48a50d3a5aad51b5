"""Where the time went, and how much memory a process needed at most."""

import contextlib
import resource
import time
from collections import Counter
from collections.abc import Iterator


class Stopwatch:
    """Seconds by step; a step may be entered many times."""

    def __init__(self) -> None:
        """Start with no steps."""
        self._seconds: Counter[str] = Counter()

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Add the duration of the block to step `name`."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] += time.perf_counter() - started  # type: ignore[assignment]  # Counter adds floats too

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds by step, to the millisecond."""
        return {name: round(float(value), 3) for name, value in self._seconds.items()}


def peak_memory_bytes() -> int:
    """Largest resident memory of this process so far, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB
