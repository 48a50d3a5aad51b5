"""Manifests: read back as written; anything else is not done."""

from pathlib import Path

from jobs.manifest import Counts, delete_manifest, manifest_names, read_manifest, write_manifest
from jobs.storage import LocalStorage, write_bytes
from tests.jobs.test_plan import _manifest


def test_round_trip_and_deletion(tmp_path: Path, make_config) -> None:  # type: ignore[no-untyped-def]
    storage = LocalStorage(tmp_path)
    manifest = _manifest(make_config(), "train/0", "etag")
    write_manifest(storage, manifest)
    assert read_manifest(storage, "train/0") == manifest
    assert list(manifest_names(storage)) == ["train/0"]
    delete_manifest(storage, "train/0")
    assert read_manifest(storage, "train/0") is None


def test_a_manifest_that_cannot_be_read_counts_as_none(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    for content in (b"", b"{}", b'{"shard": 3, "surprise": 1}'):
        write_bytes(storage, "_cfanet/manifest/0.json", content)
        assert read_manifest(storage, "0") is None


def test_counts_add_up() -> None:
    total = Counts(pictures=2, anonymized=1, no_face=1) + Counts(pictures=1, quarantined=1)
    assert total == Counts(pictures=3, anonymized=1, no_face=1, quarantined=1)
