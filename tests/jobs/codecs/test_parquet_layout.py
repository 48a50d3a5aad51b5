"""Which columns are pictures, kept or dropped; which rows a released file holds."""

import json

import pyarrow as pa
import pytest

from cfanet.errors import InputError
from jobs.codecs.parquet_layout import ROWS_KEY, Layout, holds_bytes, rows_of, runs_of

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def test_every_column_is_a_picture_kept_or_dropped_in_stored_order() -> None:
    features = {name: {"_type": "Value"} for name in ("name", "Label", "image")}
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode(), b"pandas": b"names of people"}
    schema = pa.schema([("name", pa.string()), ("Label", pa.int16()), ("image", IMAGE), ("thumb", pa.large_binary())])
    layout = Layout.of(schema.with_metadata(metadata), frozenset({"label"}))
    assert (layout.pictures, layout.kept, layout.dropped) == (("image", "thumb"), ("Label",), ("name",))
    assert layout.structs == {"image"}
    assert layout.schema.names == ["Label", "image", "thumb"]
    assert layout.schema.field("Label").type == pa.int16() and layout.schema.field("image").type == IMAGE
    assert list(json.loads(layout.schema.metadata[b"huggingface"])["info"]["features"]) == ["Label", "image"]
    assert set(layout.schema.metadata) == {b"huggingface"}


def test_named_picture_columns_are_the_only_ones() -> None:
    schema = pa.schema([("a", pa.binary()), ("b", pa.binary())])
    layout = Layout.of(schema, frozenset(), ("b",))
    assert (layout.pictures, layout.dropped) == (("b",), ("a",))


@pytest.mark.parametrize("names", [(), ("label",), ("nothing",)])
def test_no_picture_column_is_an_error(names: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match=r"source\.image_columns"):
        Layout.of(pa.schema([("label", pa.int64())]), frozenset(), names)


@pytest.mark.parametrize(
    "kind",
    [pa.binary(), pa.list_(IMAGE), pa.binary(16), pa.dictionary(pa.int8(), pa.binary()), pa.map_("string", "binary")],
    ids=str,
)
def test_columns_that_could_hide_pictures_cannot_be_kept(kind: pa.DataType) -> None:
    assert holds_bytes(kind)
    schema = pa.schema([("image", IMAGE), ("other", kind)])
    with pytest.raises(InputError, match="take it off keep_members"):
        Layout.of(schema, frozenset({"other"}), ("image",))
    assert Layout.of(schema, frozenset(), ("image",)).dropped == ("other",)


@pytest.mark.parametrize("rows", [[], [0, 1, 2], [0, 2, 3, 9], [5]])
def test_row_numbers_come_back(rows: list[int]) -> None:
    assert rows_of({ROWS_KEY: runs_of(rows)}, len(rows)) == rows


@pytest.mark.parametrize("bad", [b"", b"[[0,2]]", b"[[3,1],[0,2]]", b"[[0,1],[0,2]]", b"[[-1,3]]", b"{}"])
def test_row_numbers_that_cannot_be_are_not_believed(bad: bytes) -> None:
    assert rows_of({ROWS_KEY: bad}, 3) == rows_of(None, 3) == [0, 1, 2]
