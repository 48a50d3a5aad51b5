"""Parquet: a row is a sample; row groups, order, types and compression are kept, columns by allow-list.

Read by ranges and a few rows at a time. Written a row group at a time, which is what Parquet writers hold in memory.
"""

import contextlib
import json
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from cfanet.errors import InputError
from jobs.codecs.parquet_layout import ROWS_KEY, Layout, rows_of, runs_of
from jobs.codecs.shard import MAX_MEMBER_BYTES, Member, OutputFile, Refusal, Sample, Wanted, WorkItem
from jobs.storage import HashingWriter, Storage

_ROWS = 8  # decoded at once
_BUFFER = 1 << 20
_SIGNATURES = ((b"\x89PNG", "png"), (b"RIFF", "webp"), (b"BM", "bmp"), (b"II*\0", "tiff"), (b"MM\0*", "tiff"))


class ParquetCodec:
    """Parquet shards."""

    name = "parquet"
    sample_needs_picture = True

    def __init__(self, keep: frozenset[str] = frozenset(), image_columns: Sequence[str] = ()) -> None:
        """Keep the columns `keep` (lower case); `image_columns` are pictures, or every column that can hold one."""
        self._keep = keep
        self._image_columns = tuple(image_columns)

    def check(self, storage: Storage, item: WorkItem) -> None:
        """InputError when the columns of this shard do not fit the configuration."""
        with self._open(storage, item) as parquet:
            self._layout(parquet)

    def read(self, storage: Storage, item: WorkItem, wanted: Wanted) -> Iterator[Sample | Refusal]:
        """Yield one sample a row; rows that cannot be read come as refusals, each by its number."""
        try:
            with self._open(storage, item) as parquet:
                reader = _Rows(item, self._layout(parquet), wanted, "json" not in self._keep)
                numbers = iter(rows_of(parquet.metadata.metadata, parquet.metadata.num_rows))
                for group in range(parquet.num_row_groups):
                    rows = [next(numbers) for _ in range(parquet.metadata.row_group(group).num_rows)]
                    yield from reader.samples(parquet, group, rows)
        except (pa.ArrowException, OSError) as error:
            key = f"{item.shard}:(all)"
            yield Refusal(key, key, "unreadable_shard", f"the file is not readable Parquet: {_first_line(error)}")

    @contextlib.contextmanager
    def writer(
        self, storage: Storage, item: WorkItem, source: Storage
    ) -> Iterator["ParquetShardWriter | NothingWriter"]:
        """Write the file of the same name, in the row groups of its source; it appears only when all is well."""
        path = item.files[0].path
        try:
            with self._open(source, item) as parquet:
                layout, metadata = self._layout(parquet), parquet.metadata
                numbers = rows_of(parquet.metadata.metadata, metadata.num_rows)
        except (pa.ArrowException, OSError):  # reading says so as well, and refuses the whole
            storage.delete(path)
            yield NothingWriter()
            return
        ends, position = [], 0
        for group in range(metadata.num_row_groups):
            position += metadata.row_group(group).num_rows
            ends.append(numbers[position - 1] if position else -1)
        with storage.open_write(path) as file:
            sink = pa.PythonFile(_Sink(file), mode="w")
            output = pq.ParquetWriter(sink, layout.schema, compression=_compression(metadata, layout))
            writer = ParquetShardWriter(item, file, output, layout, ends)
            yield writer
            writer.close()

    def _layout(self, parquet: pq.ParquetFile) -> Layout:
        return Layout.of(parquet.schema_arrow, self._keep, self._image_columns)

    @contextlib.contextmanager
    def _open(self, storage: Storage, item: WorkItem) -> Iterator[pq.ParquetFile]:
        file: BinaryIO
        with (
            storage.open_read(item.files[0].path, item.files[0].etag) as file,
            pq.ParquetFile(file, pre_buffer=False, buffer_size=_BUFFER) as parquet,
        ):
            yield parquet


class _Rows:
    """Turns rows into samples."""

    def __init__(self, item: WorkItem, layout: Layout, wanted: Wanted, labels: bool) -> None:
        self._shard = item.shard
        self._layout = layout
        self._wanted = wanted
        self._labels = labels and wanted("json")  # enrolment asks for the sidecar that may name the person
        others = (*layout.kept, *layout.dropped) if self._labels else layout.kept
        self._columns = [*layout.pictures, *others]

    def samples(self, parquet: pq.ParquetFile, group: int, rows: Sequence[int]) -> Iterator[Sample | Refusal]:
        """The samples of one row group."""
        done = 0
        try:
            for batch in parquet.iter_batches(_ROWS, row_groups=[group], columns=self._columns, use_threads=False):
                for index in range(batch.num_rows):
                    yield self._sample(batch, index, rows[done])
                    done += 1
        except (pa.ArrowException, OSError) as error:
            for row in rows[done:]:
                key = _key(self._shard, row)
                yield Refusal(key, key, "unreadable_row", f"its row group cannot be read: {_first_line(error)}")

    def _sample(self, batch: pa.RecordBatch, index: int, row: int) -> Sample | Refusal:
        key, members = _key(self._shard, row), []
        for column in self._layout.pictures:
            value = batch.column(column)[index].as_py()
            data = value["bytes"] if isinstance(value, dict) else value
            path = value.get("path") if isinstance(value, dict) else None
            if data is None and path is not None:
                return Refusal(key, key, "external_picture", f"column {column!r} names a file instead of holding it")
            if data is None:
                continue
            if len(data) > MAX_MEMBER_BYTES:
                return Refusal(
                    key, key, "too_large", f"a picture of {len(data)} bytes; the limit is {MAX_MEMBER_BYTES}"
                )
            members.append(_member(f"{key}.{column}", f"{column}.{_kind(data)}", data))
            if path is not None:
                members.append(self._other(key, f"{column}.path", pa.array([path])))
        members += [self._other(key, column, batch.column(column).slice(index, 1)) for column in self._layout.kept]
        members += [_member(f"{key}.{column}", column.lower(), None) for column in self._layout.dropped]
        if self._labels:
            members.append(_member(f"{key}.json", "json", _labels(batch, index, self._columns)))
        return Sample(key, tuple(members))

    def _other(self, key: str, column: str, value: pa.Array) -> Member:
        wanted = self._wanted(column.lower())
        return _member(f"{key}.{column}", column.lower(), _freeze(value) if wanted else None)


class ParquetShardWriter:
    """Writes the rows of one Parquet shard."""

    def __init__(
        self, item: WorkItem, file: HashingWriter, output: pq.ParquetWriter, layout: Layout, ends: Sequence[int]
    ) -> None:
        """Write through `output` into `file`; `ends` are the last row numbers of the source's row groups."""
        self._path = item.files[0].path
        self._prefix = f"{item.shard}:"
        self._file = file
        self._output = output
        self._layout = layout
        self._ends = list(ends)
        self._rows: list[tuple[int, dict[str, Member]]] = []  # of the row group being collected
        self._written: list[int] = []

    def write(self, members: Sequence[Member]) -> None:
        """Append one row."""
        number, columns = 0, {}
        for member in members:
            row, _, column = member.name.removeprefix(self._prefix).partition(".")
            if member.data is None:
                raise ValueError(f"{member.name} was never read: it cannot be written")
            number, columns[column] = int(row), member
        while self._ends and number > self._ends[0]:
            self._flush()
        self._rows.append((number, columns))

    def withhold(self, members: Sequence[Member]) -> None:
        """Do nothing: the file is written anew, and these rows are not in it."""

    def _flush(self) -> None:
        """Write the collected rows as one row group."""
        self._ends.pop(0)
        if not self._rows:
            return
        columns = [pa.chunked_array(self._column(field), type=field.type) for field in self._layout.schema]
        self._output.write_table(
            pa.Table.from_arrays(columns, schema=self._layout.schema), row_group_size=len(self._rows)
        )
        self._written += [row for row, _ in self._rows]
        self._rows = []

    def _column(self, field: pa.Field) -> list[pa.Array]:
        if field.name not in self._layout.pictures:
            return [_thaw(row[field.name]) for _, row in self._rows]
        return [pa.array([self._picture(field, row) for _, row in self._rows], type=field.type)]

    def _picture(self, field: pa.Field, row: dict[str, Member]) -> Any:
        member = row.get(field.name)
        if member is None or field.name not in self._layout.structs:
            return member.data if member is not None else None
        path = row.get(f"{field.name}.path")
        return {"bytes": member.data, "path": _thaw(path)[0].as_py() if path is not None else None}

    def close(self) -> None:
        """Write what is left, and which rows these are."""
        while self._ends:
            self._flush()
        self._output.add_key_value_metadata({ROWS_KEY: runs_of(self._written)})
        self._output.close()

    def outputs(self) -> list[OutputFile]:
        """The file, once closed."""
        return [OutputFile(self._path, self._file.sha256, self._file.size)]


class NothingWriter:
    """Stands for the output of a source that could not be read at all."""

    def write(self, members: Sequence[Member]) -> None:
        """ValueError: there is nothing that could have been read."""
        raise ValueError(f"{members[0].name} comes from a file that could not be read")

    def withhold(self, members: Sequence[Member]) -> None:
        """Do nothing: the output of an earlier run is gone already."""

    def outputs(self) -> list[OutputFile]:
        """None."""
        return []


class _Sink:
    """What pyarrow needs of a file to write to it."""

    closed = False

    def __init__(self, file: HashingWriter) -> None:
        self._file = file

    def write(self, data: Any) -> int:
        return self._file.write(bytes(data))

    def tell(self) -> int:
        return self._file.size

    def flush(self) -> None:
        pass

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True


def _key(shard: str, row: int) -> str:
    """Unique in the whole dataset: rows have no names of their own."""
    return f"{shard}:{row:09d}"


def _kind(data: bytes) -> str:
    return next((kind for start, kind in _SIGNATURES if data.startswith(start)), "jpg")


def _member(name: str, extension: str, data: bytes | None) -> Member:
    return Member(name, extension, 0, 0.0, data)


def _labels(batch: pa.RecordBatch, index: int, columns: Sequence[str]) -> bytes:
    """Texts and whole numbers of a row as a .json sidecar would hold them."""
    values = {}
    for column in columns:
        kind = batch.schema.field(column).type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind):
            values[column] = batch.column(column)[index].as_py()
    return json.dumps(values).encode()


def _freeze(value: pa.Array) -> bytes:
    """One value of any type as bytes that give back exactly that value."""
    batch = pa.record_batch([value], names=["value"])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _thaw(member: Member) -> pa.Array:
    return pa.ipc.open_stream(member.data).read_all().column(0).combine_chunks()


def _compression(metadata: pq.FileMetaData, layout: Layout) -> Any:
    """The source's compression, column by column."""
    if not metadata.num_row_groups:
        return "snappy"
    group = metadata.row_group(0)
    found = {}
    for number in range(group.num_columns):
        column = group.column(number)
        if column.path_in_schema.split(".")[0] in layout.schema.names:
            codec = column.compression.lower()
            found[column.path_in_schema] = "none" if codec == "uncompressed" else codec
    return found


def _first_line(error: Exception) -> str:
    return str(error).split("\n")[0]


def check_columns(codec: ParquetCodec, storage: Storage, item: WorkItem) -> None:
    """InputError, naming the file, when the first shard has no picture column or keeps one with bytes."""
    try:
        codec.check(storage, item)
    except InputError as error:
        raise InputError(f"{item.files[0].path}: {error}") from error
    except (pa.ArrowException, OSError):
        return  # damaged: the worker records that
