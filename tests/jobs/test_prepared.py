"""A folder of prepared faces: whole shards or none, a record for each, and sums that add up."""

from pathlib import Path
from typing import Any

import pytest

from jobs.prepared import PreparedFolder, ShardRecord, summarise, summary_lines
from jobs.storage import LocalStorage

FILES = {"a.npz": b"index", "a.tar": b"crops"}


def record(shard: str = "a", **values: Any) -> ShardRecord:
    found: dict[str, Any] = {
        "source": "/data", "etag": "1", "layout": "flat", "partition": "all", "facts": {"crop_size": "128"},
        "files": {name: len(data) for name, data in FILES.items()}, "pictures": 5, "notes": {}, "left_out": {},
        "people": {}, "seconds": {}, "peak_memory_bytes": 0, "code_version": "0",
    }  # fmt: skip
    return ShardRecord(shard=shard, **found | values)


@pytest.fixture
def folder(tmp_path: Path) -> PreparedFolder:
    return PreparedFolder(LocalStorage(tmp_path))


def test_a_shard_is_written_read_and_forgotten(folder: PreparedFolder, tmp_path: Path) -> None:
    assert folder.records() == {} and not folder.has_files("a")
    folder.write(record(), FILES)
    assert folder.records() == {"a": record()} and folder.is_whole(record()) and folder.has_files("a")
    (tmp_path / "a.tar").write_bytes(b"cut")
    assert not folder.is_whole(record()), "a file of another size"
    folder.forget("a")
    assert folder.records() == {} and not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_shard_without_faces_has_a_record_only(folder: PreparedFolder, tmp_path: Path) -> None:
    folder.write(record(files={}), {})
    assert folder.is_whole(record(files={})) and not list(tmp_path.glob("a.*"))


def test_the_index_comes_last(folder: PreparedFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr("jobs.prepared.write_bytes", lambda storage, path, data: written.append(path))
    folder.write(record(), FILES)
    assert written == ["a.tar", "_cfanet/prepare/a.json", "a.npz"]


def test_a_record_that_cannot_be_read_counts_as_missing(folder: PreparedFolder, tmp_path: Path) -> None:
    folder.write(record(), FILES)
    (tmp_path / "_cfanet/prepare/a.json").write_text("{}")
    assert folder.records() == {} and folder.has_files("a")


def test_sums_of_shards() -> None:
    records = [
        record("b", people={"ada": 1, "": 2}, left_out={"no_face": 1, "blurred": 1}, notes={"enlarged": 3}),
        record("a", people={"ada": 1, "ben": 1}, left_out={"blurred": 3}, notes={"enlarged": 0}),
    ]
    summary = summarise(records, ["old"], 7)
    assert (summary["pictures"], summary["faces"], summary["faces_without_name"]) == (10, 5, 2)
    assert (summary["people"], summary["people_seen_twice"]) == (2, 1)
    assert list(summary["left_out"].items()) == [("blurred", 4), ("no_face", 1)] and summary["notes"] == {"enlarged": 3}
    assert list(summary["by_shard"]) == ["a", "b"] and summary["shards_without_record"] == ["old"]
    text = "\n".join(summary_lines(summary))
    assert "5 faces from 10 pictures" in text and "left out: 4 blurred, 1 no_face" in text and "7 pictures" in text
