"""Parquet: groups, order, types and values survive; what is withheld is the row, and its number stays its own."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cfanet.errors import InputError, StorageError
from jobs.codecs.parquet import ParquetCodec, check_columns
from jobs.codecs.shard import Refusal, Sample, WorkItem
from jobs.storage import Entry, LocalStorage
from tests.jobs.fakes import encoded

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_WORDS = pa.dictionary("int8", "string")
SCHEMA = pa.schema(
    [
        ("label", pa.int16()),
        ("image", IMAGE),
        ("name", pa.string()),
        ("tags", pa.list_(pa.string())),
        ("set", _WORDS),
    ]
)
ITEM = WorkItem("a/s", "parquet", (Entry("a/s.parquet", 0, ""),), "")


def rows(count: int) -> list[dict[str, Any]]:
    """Rows with a picture each; the label of every third is missing."""
    return [
        {
            "label": None if number % 3 == 0 else number,
            "image": {"bytes": encoded([number % 5]), "path": f"Ada Lovelace {number}.png"},
            "name": f"Ada {number}",
            "tags": ["x"] * (number % 3),
            "set": ["train", "test"][number % 2],
        }
        for number in range(count)
    ]


def write(root: Path, values: list[dict[str, Any]], group: int = 4, **options: Any) -> None:
    (root / "a").mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(values, SCHEMA), root / "a/s.parquet", row_group_size=group, **options)


def rewrite(keep: set[str], root: Path, out: Path, skip: tuple[int, ...] = ()) -> pq.ParquetFile:
    """Copy a shard through the codec as a worker does, without the rows `skip`."""
    codec = ParquetCodec(frozenset(keep))
    source, destination = LocalStorage(root), LocalStorage(out)
    with codec.writer(destination, ITEM, source) as writer:
        for number, sample in enumerate(codec.read(source, ITEM, lambda name: name in {"image.png", *keep})):
            assert isinstance(sample, Sample)
            if number not in skip:
                writer.write([member for member in sample.members if member.data is not None])
    (output,) = writer.outputs()
    assert output.size == (out / "a/s.parquet").stat().st_size
    return pq.ParquetFile(out / "a/s.parquet")


def groups(file: pq.ParquetFile) -> list[int]:
    return [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]


def test_kept_columns_groups_and_compression_survive_and_the_rest_is_gone(tmp_path: Path) -> None:
    write(tmp_path / "in", rows(10), compression={"label": "gzip", "image.bytes": "none"})
    found = rewrite({"label", "tags", "set"}, tmp_path / "in", tmp_path / "out")
    assert found.schema_arrow.names == ["label", "image", "tags", "set"]
    assert groups(found) == [4, 4, 2]
    expected = [{**row, "image": {**row["image"], "path": None}} for row in rows(10)]
    assert found.read().to_pylist() == [{k: row[k] for k in ("label", "image", "tags", "set")} for row in expected]
    columns = found.metadata.row_group(0)
    codecs = {columns.column(n).path_in_schema: columns.column(n).compression for n in range(columns.num_columns)}
    assert (codecs["label"], codecs["image.bytes"]) == ("GZIP", "UNCOMPRESSED")
    assert b"Ada" not in (tmp_path / "out/a/s.parquet").read_bytes()


def test_paths_of_pictures_are_kept_only_where_they_are_allowed(tmp_path: Path) -> None:
    write(tmp_path / "in", rows(3))
    found = rewrite({"image.path"}, tmp_path / "in", tmp_path / "out")
    assert [row["image"] for row in found.read().to_pylist()] == [row["image"] for row in rows(3)]


def test_rows_keep_their_numbers_when_others_are_withheld(tmp_path: Path) -> None:
    write(tmp_path / "in", rows(10))
    codec = ParquetCodec(frozenset({"label"}))
    found = rewrite({"label"}, tmp_path / "in", tmp_path / "out", skip=(1, 4, 5, 6, 7, 9))
    assert groups(found) == [3, 1]  # the second group is empty now
    again = codec.read(LocalStorage(tmp_path / "out"), ITEM, lambda _: False)
    assert [sample.key for sample in again] == [f"a/s:{row:09d}" for row in (0, 2, 3, 8)]
    twice = rewrite({"label"}, tmp_path / "out", tmp_path / "twice")
    assert twice.read().equals(found.read())
    nothing = rewrite({"label"}, tmp_path / "in", tmp_path / "nothing", skip=tuple(range(10)))
    assert nothing.metadata.num_rows == 0 and nothing.schema_arrow.names == ["label", "image"]


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    write(tmp_path / "in", rows(6))
    for out in ("one", "two"):
        rewrite({"label"}, tmp_path / "in", tmp_path / out)
    assert (tmp_path / "one/a/s.parquet").read_bytes() == (tmp_path / "two/a/s.parquet").read_bytes()


def test_pictures_that_are_missing_or_elsewhere(tmp_path: Path) -> None:
    values = rows(3)
    values[1]["image"], values[2]["image"] = None, {"bytes": None, "path": "/elsewhere.png"}
    write(tmp_path / "in", values)
    codec = ParquetCodec(frozenset({"label"}))
    first, second, third = codec.read(LocalStorage(tmp_path / "in"), ITEM, lambda _: True)
    assert isinstance(first, Sample) and [m.extension for m in first.pictures] == ["image.png"]
    assert isinstance(second, Sample) and not second.pictures
    assert isinstance(third, Refusal) and third.reason == "external_picture"


def test_enrolment_may_read_the_label_and_nothing_else_does(tmp_path: Path) -> None:
    write(tmp_path / "in", rows(1))
    (sample,) = ParquetCodec().read(LocalStorage(tmp_path / "in"), ITEM, lambda extension: extension in {"json", "png"})
    assert isinstance(sample, Sample)
    assert [m.data for m in sample.members if m.extension == "json"] == [b'{"label": null, "name": "Ada 0"}']
    (sample,) = ParquetCodec().read(LocalStorage(tmp_path / "in"), ITEM, lambda extension: extension == "png")
    assert isinstance(sample, Sample) and "json" not in sample.extensions


def test_damage_is_a_record(tmp_path: Path) -> None:
    write(tmp_path / "in", rows(8), compression="none")
    path = tmp_path / "in/a/s.parquet"
    whole, codec = path.read_bytes(), ParquetCodec()
    column = pq.ParquetFile(path).metadata.row_group(0).column(1)
    place = column.dictionary_page_offset or column.data_page_offset
    path.write_bytes(whole[:place] + b"\xff" * 40 + whole[place + 40 :])
    found = list(codec.read(LocalStorage(tmp_path / "in"), ITEM, lambda _: True))
    assert [type(one) for one in found] == [Refusal] * 4 + [Sample] * 4
    assert all(one.reason == "unreadable_row" for one in found if isinstance(one, Refusal))
    path.write_bytes(whole[:-9])
    (refusal,) = codec.read(LocalStorage(tmp_path / "in"), ITEM, lambda _: True)
    assert isinstance(refusal, Refusal) and refusal.reason == "unreadable_shard"
    out = LocalStorage(tmp_path / "out")
    with codec.writer(out, ITEM, LocalStorage(tmp_path / "in")) as writer:
        pass
    assert writer.outputs() == [] and out.entry("a/s.parquet") is None


def test_a_store_that_fails_is_not_taken_for_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "in", rows(8))
    data, storage = (tmp_path / "in/a/s.parquet").read_bytes(), LocalStorage(tmp_path / "in")

    class FakeFailing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() < len(data) // 2:
                raise StorageError("the network is gone")
            return super().read(size)

    monkeypatch.setattr(storage, "open_read", lambda *_: FakeFailing(data))
    with pytest.raises(StorageError, match="network is gone"):
        list(ParquetCodec().read(storage, ITEM, lambda _: True))


def test_columns_are_checked_before_anything_runs(tmp_path: Path) -> None:
    write(tmp_path / "in", rows(1))
    with pytest.raises(InputError, match=r"a/s\.parquet: no picture column"):
        check_columns(ParquetCodec(frozenset(), ("label",)), LocalStorage(tmp_path / "in"), ITEM)
    check_columns(ParquetCodec(), LocalStorage(tmp_path / "in"), ITEM)


def test_what_was_never_read_cannot_be_written(tmp_path: Path) -> None:
    write(tmp_path / "in", rows(1))
    codec, storage = ParquetCodec(), LocalStorage(tmp_path / "in")
    samples: Iterator[Sample | Refusal] = codec.read(storage, ITEM, lambda _: False)
    sample = next(samples)
    assert isinstance(sample, Sample)
    members = [replace(sample.members[0], data=None)]
    with (
        pytest.raises(ValueError, match="never read"),
        codec.writer(LocalStorage(tmp_path / "out"), ITEM, storage) as writer,
    ):
        writer.write(members)
    assert not (tmp_path / "out/a/s.parquet").exists()
