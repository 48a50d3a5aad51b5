"""The ledger: what goes in comes out, one row a face."""

import hashlib
from pathlib import Path

import pyarrow.parquet as pq

from audit.records import LedgerPicture
from cfanet.records import Comparison, FaceDecision, FaceRecord, ImageStatus
from jobs.ledger import SCHEMA, LedgerContext, LedgerEntry, ledger_path, read_ledger, write_ledger
from jobs.storage import LocalStorage


def _face(index: int, angle: float | None) -> FaceRecord:
    compared = (Comparison("r", "mated", "original", 0.123456789012345, 82.9, 0.4),)
    return FaceRecord(
        index, (1.5, 2.25, 3.125, 4.0), "mtcnn", 0.987654321, "cfa", FaceDecision.REPLACED, 2, angle, angle, "seed",
        compared if index == 0 else (), "because",
    )  # fmt: skip


def test_round_trip_is_exact_and_a_picture_without_faces_has_one_row(tmp_path: Path) -> None:
    faces = (_face(0, 90.5), _face(1, None))
    entries = [
        LedgerEntry("ü a.jpg", LedgerPicture("ü a", ImageStatus.ANONYMIZED, "", "1", "2", faces, "JPEG", 7, 9)),
        LedgerEntry("b.png", LedgerPicture("b", ImageStatus.NO_FACE, "", "3", "4", (), "PNG", 1, 1)),
        LedgerEntry("", LedgerPicture("c", ImageStatus.QUARANTINED, "empty: no bytes", "", "", ())),
    ]  # fmt: skip
    storage = LocalStorage(tmp_path)
    digest = write_ledger(storage, LedgerContext("run", "shard", "model", "config"), entries)
    assert read_ledger(storage, "shard") == entries
    table = pq.read_table(tmp_path / ledger_path("shard"))
    assert table.schema.equals(SCHEMA)
    assert table.column("face_index").to_pylist() == [0, 1, None, None]
    assert set(table.column("config_digest").to_pylist()) == {"config"}
    assert digest == hashlib.sha256((tmp_path / ledger_path("shard")).read_bytes()).hexdigest()


def test_an_empty_shard_has_an_empty_ledger(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    write_ledger(storage, LedgerContext("run", "shard", "model", "config"), [])
    assert read_ledger(storage, "shard") == []
