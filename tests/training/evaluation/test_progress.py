"""Progress of an experiment: lines where there is no terminal, none of them for what takes no time."""

import io
from itertools import count

import pytest
from rich.console import Console

from training.evaluation import progress as module
from training.evaluation.progress import progress


@pytest.fixture
def console() -> Console:
    """Writes into memory, which is no terminal."""
    return Console(file=io.StringIO(), width=40)


def _written(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_a_line_every_few_seconds(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = count(0.0, 4.0)  # four seconds an item
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    assert list(progress(range(1000), "embed [dlib]", console)) == list(range(1000))
    lines = _written(console)
    assert lines[0] == "embed [dlib]: 3 of 1,000 · about 89 min left"  # sixteen seconds for three
    assert lines[-1] == "embed [dlib]: 999 of 1,000 · about 4 s left"
    assert len(lines) == 250


def test_what_takes_no_time_says_nothing(console: Console) -> None:
    assert list(progress("abc", "detect", console)) == ["a", "b", "c"]
    assert _written(console) == []


def test_a_terminal_gets_a_bar_that_leaves_nothing_behind(capsys: pytest.CaptureFixture[str]) -> None:
    screen = io.StringIO()
    assert list(progress("abc", "detect", Console(file=screen, force_terminal=True, width=60))) == ["a", "b", "c"]
    assert "detect" in screen.getvalue() and "of 3" not in screen.getvalue()
    assert capsys.readouterr() == ("", "")
