"""Progress a person can read: a live bar on a terminal, a plain line every few seconds anywhere else."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from jobs.manifest import Counts

_LINE_EVERY_S = 5.0


class StageProgress:
    """How far one stage is. Speaks for itself every few seconds where there is no terminal."""

    def __init__(self, console: Console, title: str, total: int, expected: int = 0) -> None:
        """Start a stage of `total` shards, and about `expected` pictures where that is known."""
        self._console = console
        self._title = title
        self._total = total
        self._expected = expected
        self._done = 0
        self._counts = Counts()
        self._underway: Callable[[], Counts] = Counts
        self._started = time.monotonic()

    def advance(self, counts: Counts) -> None:
        """One more shard is done; `counts` are its own."""
        self._done += 1
        self._counts += counts

    def watch(self, underway: Callable[[], Counts]) -> None:
        """Ask `underway`, whenever something is shown, for the counts of shards that are being worked on."""
        self._underway = underway

    def text(self) -> str:
        """Pictures so far, speed, what became of them, and the time left; one line."""
        elapsed, ended = max(self.elapsed, 1e-3), self._done >= self._total
        counts = self._counts if ended else self._counts + self._underway()
        if not self._done and not counts.pictures:
            return f"working since {duration(elapsed)}"
        parts = [f"{counts.pictures} pictures", f"{counts.pictures / elapsed:.1f}/s"]
        if counts.faces:
            parts.append(f"{counts.faces} faces")
        words = {
            "anonymized": "anonymized",
            "obscured": "obscured",
            "no_face": "without a face",
            "quarantined": "withheld",
        }
        parts += [f"{getattr(counts, name)} {word}" for name, word in words.items() if getattr(counts, name)]
        share = 1.0 if ended else self._share(counts.pictures)
        if 0 < share < 1:
            parts.append(f"about {duration(elapsed * (1 / share - 1))} left")
        return " · ".join(parts)

    def _share(self, pictures: int) -> float:
        """Of the stage, how much is done: by pictures where their number is known or can be told from done shards."""
        done = self._done / self._total
        expected = self._expected or (self._counts.pictures / done if done else 0)
        return min(1.0, pictures / expected) if expected else done

    def line(self) -> str:
        """The stage as one line of text."""
        return f"{self._title}: {self._done} of {self._total} shards · {self.text()}"

    @property
    def elapsed(self) -> float:
        """Seconds since the stage began."""
        return time.monotonic() - self._started

    @property
    def done(self) -> int:
        """Shards done so far."""
        return self._done


class Progress:
    """Shows the stages of a job on a console, one after the other."""

    def __init__(self, console: Console) -> None:
        """Write to `console`."""
        self.console = console

    def say(self, text: str) -> None:
        """Print one line."""
        self.console.print(text, highlight=False, soft_wrap=True, markup=False)

    @contextlib.contextmanager
    def stage(self, title: str, total: int, skipped: int = 0, expected: int = 0) -> Iterator[StageProgress]:
        """Show one stage for the block; `skipped` shards were done by an earlier run; about `expected` pictures."""
        if skipped:
            self.say(f"{title}: {skipped} shards were done before, {total} to do")
        stage = StageProgress(self.console, title, total, expected)
        if not total:
            yield stage
            return
        with self._live(stage, title, total) if self.console.is_terminal else self._lines(stage):
            yield stage
        self.say(f"{stage.line()} · {duration(stage.elapsed)}")

    @contextlib.contextmanager
    def _live(self, stage: StageProgress, title: str, total: int) -> Iterator[None]:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("shards"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[text]}", style="dim"),
        )
        with RichProgress(*columns, console=self.console, transient=True) as bar:
            task = bar.add_task(title, total=total, text="starting workers")

            def update() -> None:
                bar.update(TaskID(task), completed=stage.done, text=stage.text())

            with _every(0.5, update):
                yield

    @contextlib.contextmanager
    def _lines(self, stage: StageProgress) -> Iterator[None]:
        with _every(_LINE_EVERY_S, lambda: self.say(stage.line())):
            yield


@contextlib.contextmanager
def _every(seconds: float, action: Callable[[], None]) -> Iterator[None]:
    """Call `action` every so many seconds, from another thread, until the block ends."""
    stop = threading.Event()

    def loop() -> None:
        while not stop.wait(seconds):
            action()

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def duration(seconds: float) -> str:
    """Seconds as people say them: "42 s", "3 min 10 s", "2 h 05 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
