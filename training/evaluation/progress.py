"""How far an experiment is: a bar on a terminal, elsewhere a plain line every few seconds."""

import time
from collections.abc import Iterable, Iterator
from multiprocessing import parent_process
from typing import TypeVar

from rich.console import Console
from rich.progress import track

T = TypeVar("T")
LINE_EVERY_S = 15.0


def progress(items: Iterable[T], what: str, console: Console | None = None) -> Iterator[T]:
    """The items, with their progress on standard error.

    Bars of several processes would draw over each other, so that a process of a pool writes lines on a terminal too.
    """
    console = console or Console(stderr=True)
    listed = list(items)
    if console.is_terminal and parent_process() is None:
        yield from track(listed, what, console=console, transient=True)
        return
    began = told = time.monotonic()
    for done, item in enumerate(listed):
        now = time.monotonic()
        if done and now - told >= LINE_EVERY_S:
            told = now
            left = (now - began) / done * (len(listed) - done)
            line = f"{what}: {done:,} of {len(listed):,} · about {_duration(left)} left"
            console.print(line, highlight=False, soft_wrap=True, markup=False)
        yield item


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
