"""The quarantine list."""

from pathlib import Path

from jobs.quarantine import Withheld, quarantine_path, read_quarantine, write_quarantine
from jobs.storage import LocalStorage


def test_round_trip_and_an_empty_list_removes_an_old_one(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    items = [Withheld("ü", "ü@2", "ü.jpg", "duplicate_key", "a sentence,\nwith a line break")]
    write_quarantine(storage, "s", items)
    assert read_quarantine(storage, "s") == items
    assert len((tmp_path / quarantine_path("s")).read_text().splitlines()) == 1
    write_quarantine(storage, "s", [])
    assert read_quarantine(storage, "s") == []
    assert not (tmp_path / quarantine_path("s")).exists()
