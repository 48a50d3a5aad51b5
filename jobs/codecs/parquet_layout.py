"""What the columns of a Parquet file are to a release: pictures, kept, or dropped.

A picture column is binary, or a struct with a binary field `bytes` (as Hugging Face writes it, beside `path`).
"""

import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from cfanet.errors import InputError

ROWS_KEY = b"cfanet.rows"
"""Metadata of a released file: which rows of its source it holds, as [[first, count], …]."""
_HUGGING_FACE = b"huggingface"


@dataclass(frozen=True)
class Layout:
    """One file's columns, in stored order."""

    pictures: tuple[str, ...]
    kept: tuple[str, ...]
    dropped: tuple[str, ...]
    structs: frozenset[str]  # picture columns that are structs
    schema: pa.Schema  # of the released file

    @classmethod
    def of(cls, schema: pa.Schema, keep: frozenset[str], image_columns: Iterable[str] = ()) -> "Layout":
        """Decide on every column; names on the allow-list are compared in lower case.

        InputError when there is no picture column, or one on the allow-list could hold pictures of its own.
        """
        named = set(image_columns)
        pictures = [f.name for f in schema if (f.name in named if named else holds_picture(f.type))]
        wrong = [f.name for f in schema if f.name in pictures and not holds_picture(f.type)]
        if not pictures or wrong or named - set(schema.names):
            raise InputError(
                f"no picture column ({', '.join(wrong or sorted(named)) or 'binary, or a struct with bytes'}) among "
                f"{', '.join(schema.names)}: name it in source.image_columns"
            )
        kept = [name for name in schema.names if name not in pictures and name.lower() in keep]
        for name in kept:
            if holds_bytes(schema.field(name).type):
                raise InputError(f"column {name!r} holds bytes, which may be pictures: take it off keep_members")
        fields = [_released(f, f.name in pictures) for f in schema if f.name in {*pictures, *kept}]
        return cls(
            pictures=tuple(pictures),
            kept=tuple(kept),
            dropped=tuple(name for name in schema.names if name not in {*pictures, *kept}),
            structs=frozenset(name for name in pictures if pa.types.is_struct(schema.field(name).type)),
            schema=pa.schema(fields, _metadata(schema.metadata or {}, {f.name for f in fields})),
        )


def holds_picture(kind: pa.DataType) -> bool:
    """True for binary, and for a struct with a binary field `bytes`."""
    if pa.types.is_struct(kind):
        index = kind.get_field_index("bytes")
        return index >= 0 and _is_binary(kind.field(index).type)
    return _is_binary(kind)


def holds_bytes(kind: pa.DataType) -> bool:
    """True when binary data lies anywhere in the type."""
    if _is_binary(kind) or isinstance(kind, pa.BaseExtensionType) or pa.types.is_fixed_size_binary(kind):
        return True
    if pa.types.is_dictionary(kind):
        return holds_bytes(kind.value_type)
    return any(holds_bytes(kind.field(number).type) for number in range(kind.num_fields))


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _released(field: pa.Field, picture: bool) -> pa.Field:
    """The same column without its metadata; a picture may be missing."""
    return pa.field(field.name, field.type, field.nullable or picture)


def _metadata(metadata: dict[bytes, bytes], names: set[str]) -> dict[bytes, bytes]:
    """What `datasets` needs to know of the columns that stay; everything else may hold names, and goes."""
    try:
        features = json.loads(metadata[_HUGGING_FACE])["info"]["features"]
        stay: dict[str, Any] = {name: feature for name, feature in features.items() if name in names}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}
    return {_HUGGING_FACE: json.dumps({"info": {"features": stay}}).encode()}


def rows_of(metadata: dict[bytes, bytes] | None, count: int) -> list[int]:
    """Numbers of the rows of a file: as recorded by the release it comes from, or else 0, 1, 2, …"""
    try:
        runs = json.loads((metadata or {})[ROWS_KEY])
        fits = sum(length for _, length in runs) == count and all(first >= 0 < length for first, length in runs)
        rows = [first + number for first, length in runs for number in range(length)] if fits else []
    except (KeyError, ValueError, TypeError):
        rows = []
    increasing = all(a < b for a, b in itertools.pairwise(rows))
    return rows if len(rows) == count and increasing else list(range(count))


def runs_of(rows: Iterable[int]) -> bytes:
    """Row numbers in increasing order, as metadata."""
    runs: list[list[int]] = []
    for row in rows:
        if runs and row == sum(runs[-1]):
            runs[-1][1] += 1
        else:
            runs.append([row, 1])
    return json.dumps(runs, separators=(",", ":")).encode()
