"""Progress: lines that add up, and durations as people say them."""

import io

import pytest
from rich.console import Console

from jobs.manifest import Counts
from jobs.progress import Progress, StageProgress, duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.12, "0.1 s"), (42.4, "42 s"), (190, "3 min 10 s"), (7500, "2 h 05 min"), (59.7, "1 min 00 s")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_line_has_counts_and_statuses() -> None:
    stage = StageProgress(Console(file=io.StringIO()), "anonymize", 3)
    stage.advance(Counts(pictures=4, faces=5, anonymized=3, quarantined=1))
    stage.advance(Counts(pictures=2, no_face=2))
    line = stage.line()
    for part in (
        "anonymize: 2 of 3 shards",
        "6 pictures",
        "5 faces",
        "3 anonymized",
        "1 withheld",
        "2 without a face",
        "left",
    ):
        assert part in line


def test_without_a_terminal_there_are_plain_lines() -> None:
    out = io.StringIO()
    with Progress(Console(file=out)).stage("audit", 1, skipped=2) as stage:
        stage.advance(Counts(pictures=1))
    lines = out.getvalue().splitlines()
    assert lines[0] == "audit: 2 shards were done before, 1 to do"
    assert lines[1].startswith("audit: 1 of 1 shards · 1 pictures")
    assert "\x1b" not in out.getvalue()


def test_on_a_terminal_there_is_a_bar_and_a_last_line() -> None:
    out = io.StringIO()
    with Progress(Console(file=out, force_terminal=True, width=200)).stage("audit", 1) as stage:
        stage.advance(Counts(pictures=1))
    assert "audit: 1 of 1 shards" in out.getvalue()


def test_shards_that_are_being_worked_on_count_as_far_as_they_are() -> None:
    """Three large shards, none of them done: what else could a person be told?"""
    stage = StageProgress(Console(file=io.StringIO()), "anonymize", 3, expected=400)
    assert "working since" in stage.text()
    stage.watch(lambda: Counts(pictures=100, faces=7))
    text = stage.text()
    assert text.startswith("100 pictures") and "7 faces" in text and "left" in text
    stage.advance(Counts(pictures=150))
    assert stage.text().startswith("250 pictures")
    stage.advance(Counts(pictures=150))
    stage.advance(Counts(pictures=100))
    assert stage.text().startswith("400 pictures") and "left" not in stage.text()


def test_without_a_known_number_the_time_left_follows_from_the_shards_that_are_done() -> None:
    stage = StageProgress(Console(file=io.StringIO()), "enrol", 4)
    stage.watch(lambda: Counts(pictures=10))
    assert "left" not in stage.text()
    stage.advance(Counts(pictures=10))
    assert stage.text().startswith("20 pictures") and "left" in stage.text()
