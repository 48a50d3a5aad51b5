"""The record of a shard: sums that hold, and a manifest that comes last."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cfanet.records import ImageResult, ImageStatus
from jobs.codecs.shard import Member, Refusal, Sample, WorkItem
from jobs.config import ReleaseConfig
from jobs.ledger import ledger_path
from jobs.pictures import source_pictures
from jobs.quarantine import read_quarantine
from jobs.record import ShardRecord
from jobs.storage import LocalStorage
from jobs.worker import JobContext
from tests.jobs.fakes import encoded

ITEM = WorkItem("s", "webdataset", (), "etag")


def _sample(key: str, data: bytes) -> Sample:
    return Sample(key, (Member(f"{key}.png", "png", 0o644, 0.0, data), Member(f"{key}.npy", "npy", 0o644, 0.0, None)))


def test_every_sample_is_counted_once(
    tmp_path: Path, make_config: Callable[..., ReleaseConfig], make_context: Callable[..., JobContext]
) -> None:
    record, storage = ShardRecord(ITEM), LocalStorage(tmp_path)
    good, bad = _sample("good", encoded()), _sample("bad", b"")
    (source,), (broken,) = source_pictures(good, 64.0), source_pictures(bad, 64.0)
    assert source.picture is not None
    record.release(source, ImageResult("good", ImageStatus.NO_FACE, "", source.picture.pixels), "out")
    record.end_sample(released=True)
    record.drop(good.members[1:])
    record.withhold(bad, broken, None, ("empty", "no bytes"))
    record.end_sample(released=False)
    record.refuse(Refusal("good@2", "good", "duplicate_key", "again"))
    counts = record.counts()
    assert (counts.samples, counts.released_samples, counts.pictures) == (3, 1, 3)
    assert (counts.no_face, counts.quarantined) == (1, 2)
    manifest = record.close(storage, make_context(make_config()), "model", [])
    assert manifest.quarantine_reasons == {"empty": 1, "duplicate_key": 1} and manifest.dropped_members == {"npy": 1}
    assert [(w.key, w.picture) for w in read_quarantine(storage, "s")] == [("bad", "bad"), ("good", "good@2")]


def test_no_manifest_without_a_ledger(
    tmp_path: Path,
    make_config: Callable[..., ReleaseConfig],
    make_context: Callable[..., JobContext],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> str:
        raise OSError("disk full")

    monkeypatch.setattr("jobs.record.write_ledger", fail)
    with pytest.raises(OSError, match="disk full"):
        ShardRecord(ITEM).close(LocalStorage(tmp_path), make_context(make_config()), "model", [])
    assert not (tmp_path / "_cfanet/manifest").exists() and not (tmp_path / ledger_path("s")).exists()
