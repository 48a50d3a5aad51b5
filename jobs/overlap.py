"""Reading, computing and writing at the same time, in order and with bounded memory: one step ahead, one behind."""

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def ahead(items: Iterable[T]) -> Generator[T, None, None]:
    """The same items, each made in another thread while the one before is being used; close it when leaving early.

    An error is raised where its item would have come.
    """
    source, end = iter(items), object()
    with ThreadPoolExecutor(1, "read ahead") as thread:
        coming: Future[T | object] = thread.submit(next, source, end)
        while (item := coming.result()) is not end:
            coming = thread.submit(next, source, end)
            yield item  # type: ignore[misc]  # `end` never gets here


class Behind:
    """Calls that are made in another thread, one after the other; a new one waits until the one before has ended."""

    def __init__(self, thread: ThreadPoolExecutor) -> None:
        """Use `behind` instead."""
        self._thread = thread
        self._last: Future[None] | None = None

    def call(self, action: Callable[[], None]) -> None:
        """Start `action`; raises what the one before raised."""
        self.wait()
        self._last = self._thread.submit(action)

    def wait(self) -> None:
        """Wait for the last action; raises what it raised."""
        last, self._last = self._last, None
        if last is not None:
            last.result()


@contextlib.contextmanager
def behind() -> Iterator[Behind]:
    """A Behind for the block; all its calls have ended when the block has, and their errors are raised there."""
    with ThreadPoolExecutor(1, "write behind") as thread:
        later = Behind(thread)
        yield later
        later.wait()
