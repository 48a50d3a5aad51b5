"""The ledger: a Parquet file a shard, a row a face, and one row with a null face index for a picture without faces."""

import hashlib
import io
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from audit.records import LedgerPicture
from cfanet.records import Comparison, FaceDecision, FaceRecord, ImageStatus
from jobs.storage import PRIVATE_FOLDER, Storage, read_bytes, write_bytes

_FOLDER = f"{PRIVATE_FOLDER}/ledger"
_ROWS = 4_096  # that are Python objects at a time: a long video has many
_COMPARISON = pa.struct(
    [
        pa.field("recognizer", pa.string()),
        pa.field("kind", pa.string()),  # "mated" or "gallery"
        pa.field("reference_id", pa.string()),
        pa.field("similarity", pa.float64()),
        pa.field("angle_deg", pa.float64()),
        pa.field("threshold", pa.float64()),
    ]
)
SCHEMA = pa.schema(
    [
        pa.field("run_id", pa.string()),
        pa.field("shard", pa.string()),
        pa.field("sample_key", pa.string()),
        pa.field("member", pa.string()),
        pa.field("status", pa.string()),
        pa.field("detail", pa.string()),
        pa.field("media_type", pa.string()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("face_index", pa.int32()),  # null: the picture has no face
        pa.field("box", pa.list_(pa.float64(), 4)),  # xyxy pixels
        pa.field("detector", pa.string()),
        pa.field("detector_score", pa.float64()),
        pa.field("method", pa.string()),
        pa.field("decision", pa.string()),
        pa.field("attempts", pa.int32()),
        pa.field("requested_angle_deg", pa.float64()),
        pa.field("measured_angle_deg", pa.float64()),
        pa.field("seed_id", pa.string()),
        pa.field("face_detail", pa.string()),
        pa.field("comparisons", pa.list_(_COMPARISON)),
        pa.field("model_digest", pa.string()),
        pa.field("config_digest", pa.string()),
        pa.field("input_sha256", pa.string()),
        pa.field("output_sha256", pa.string()),
    ]
)


@dataclass(frozen=True)
class LedgerContext:
    """What all rows of a shard have in common."""

    run_id: str
    shard: str
    model_digest: str
    config_digest: str


@dataclass(frozen=True)
class LedgerEntry:
    """One picture and the file it came from."""

    member: str  # name of the file in the shard
    picture: LedgerPicture


def write_ledger(destination: Storage, context: LedgerContext, entries: Sequence[LedgerEntry]) -> str:
    """Write the ledger of one shard atomically; returns its SHA-256."""
    buffer = io.BytesIO()
    rows = (row for entry in entries for row in _rows(context, entry))
    with pq.ParquetWriter(buffer, SCHEMA) as writer:
        for some in iter(lambda: list(itertools.islice(rows, _ROWS)), []):
            writer.write_table(pa.Table.from_pylist(some, schema=SCHEMA))
    data = buffer.getvalue()
    write_bytes(destination, ledger_path(context.shard), data)
    return hashlib.sha256(data).hexdigest()


def read_ledger(destination: Storage, shard: str) -> list[LedgerEntry]:
    """The pictures of one shard, in the order of the source."""
    file = pq.ParquetFile(io.BytesIO(read_bytes(destination, ledger_path(shard))))
    entries: list[LedgerEntry] = []
    group: list[dict[str, Any]] = []
    for part in file.iter_batches(_ROWS):
        for row in part.to_pylist():
            if group and row["sample_key"] != group[0]["sample_key"]:
                entries.append(_entry(group))
                group = []
            group.append(row)
    if group:
        entries.append(_entry(group))
    return entries


def ledger_path(shard: str) -> str:
    """Where the ledger of a shard lies in the destination."""
    return f"{_FOLDER}/{shard}.parquet"


def _rows(context: LedgerContext, entry: LedgerEntry) -> Iterator[dict[str, Any]]:
    picture = entry.picture
    common = {
        "run_id": context.run_id,
        "shard": context.shard,
        "sample_key": picture.sample_key,
        "member": entry.member,
        "status": picture.status.value,
        "detail": picture.detail,
        "media_type": picture.media_type,
        "width": picture.width,
        "height": picture.height,
        "model_digest": context.model_digest,
        "config_digest": context.config_digest,
        "input_sha256": picture.input_sha256,
        "output_sha256": picture.output_sha256,
    }
    if not picture.faces:
        yield common
    for face in picture.faces:
        yield common | {
            "face_index": face.face_index,
            "box": list(face.box),
            "detector": face.detector,
            "detector_score": face.detector_score,
            "method": face.method,
            "decision": face.decision.value,
            "attempts": face.attempts,
            "requested_angle_deg": face.requested_angle_deg,
            "measured_angle_deg": face.measured_angle_deg,
            "seed_id": face.seed_id,
            "face_detail": face.detail,
            "comparisons": [_comparison_row(comparison) for comparison in face.comparisons],
        }


def _comparison_row(comparison: Comparison) -> dict[str, Any]:
    return {field.name: getattr(comparison, field.name) for field in _COMPARISON}


def _entry(rows: Sequence[dict[str, Any]]) -> LedgerEntry:
    first = rows[0]
    picture = LedgerPicture(
        sample_key=first["sample_key"],
        status=ImageStatus(first["status"]),
        detail=first["detail"],
        input_sha256=first["input_sha256"],
        output_sha256=first["output_sha256"],
        faces=tuple(_face(row) for row in rows if row["face_index"] is not None),
        media_type=first["media_type"],
        width=first["width"],
        height=first["height"],
    )
    return LedgerEntry(first["member"], picture)


def _face(row: dict[str, Any]) -> FaceRecord:
    x1, y1, x2, y2 = row["box"]
    return FaceRecord(
        face_index=row["face_index"],
        box=(x1, y1, x2, y2),
        detector=row["detector"],
        detector_score=row["detector_score"],
        method=row["method"],
        decision=FaceDecision(row["decision"]),
        attempts=row["attempts"],
        requested_angle_deg=row["requested_angle_deg"],
        measured_angle_deg=row["measured_angle_deg"],
        seed_id=row["seed_id"],
        comparisons=tuple(Comparison(**comparison) for comparison in row["comparisons"] or ()),
        detail=row["face_detail"],
    )
