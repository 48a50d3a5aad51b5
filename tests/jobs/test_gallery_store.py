"""The gallery in a bucket is the gallery in a folder, and leaves nothing behind on the machines that use it."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from audit.gallery import ShardStamp, has_shard, load, read_shard, seal, write_shard
from audit.records import EnrolledPicture
from jobs.gallery_store import GalleryStore, named_galleries
from tests.jobs.s3 import Bucket, variables

STAMP = ShardStamp("etag", "settings")


@pytest.fixture(params=["folder", "bucket"])
def store(
    request: pytest.FixtureRequest, endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], GalleryStore]:
    """Opens the same gallery again and again, as the processes of a job do."""
    if request.param == "folder":
        return lambda: GalleryStore(str(tmp_path / "gallery"))
    for name, value in variables(endpoint).items():
        monkeypatch.setenv(name, value)
    Bucket(endpoint, "gallery-store")
    return lambda: GalleryStore("s3://gallery-store/private")


def test_what_one_process_writes_another_reads(
    store: Callable[[], GalleryStore], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    for _ in range(2):
        store().create()
    assert store().pseudonyms().of("Ada") == store().pseudonyms().of("Ada") != ""
    with store().shard("a/b") as folder:
        assert not has_shard(folder, "a/b", STAMP)
    with store().draft("a/b") as folder:
        write_shard(folder, "a/b", [EnrolledPicture("k", "0" * 64, ())], STAMP)
    with pytest.raises(RuntimeError), store().draft("broken"):
        raise RuntimeError
    with store().shard("a/b") as folder:
        assert [picture.sample_key for picture in read_shard(folder, "a/b")] == ["k"]
    with store().whole() as folder:
        snapshot = seal(folder)
        assert snapshot.n_pictures == 1 and load(folder, "any").ids == ()
    with store().whole() as folder:
        assert snapshot.sha256 in (folder / "snapshot.json").read_text()
        assert not has_shard(folder, "broken", STAMP)
    assert not list(scratch.iterdir()), "biometric data was left behind"


def test_what_a_killed_process_had_fetched_is_removed_by_the_next(
    endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in use stays, and so does a folder that is not this program's."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("cfanet-gallery-dead", "cfanet-gallery-young", "cfanet-gallery-x", "other"):
        (tmp_path / name).mkdir()
        if name != "cfanet-gallery-x":
            (tmp_path / name / ".in-use").touch()
            os.utime(tmp_path / name / ".in-use", (0, 0) if "young" not in name else None)
    (tmp_path / "cfanet-gallery-dead/a.parquet").write_bytes(b"embeddings")
    for name, value in variables(endpoint).items():
        monkeypatch.setenv(name, value)
    Bucket(endpoint, "abandoned")
    store = GalleryStore("s3://abandoned/private")
    store.create()
    assert sorted(os.listdir(tmp_path)) == ["cfanet-gallery-x", "cfanet-gallery-young", "other"]
    with store.whole() as folder:
        os.utime(folder / ".in-use", (0, 0))
        with store.whole() as second:
            assert (folder / "pseudonyms.key").exists() and second != folder
        assert (folder / "pseudonyms.key").exists()


def test_other_galleries_have_names_that_tell_them_apart() -> None:
    """Two folders of one name once were one gallery, and only the last was searched."""
    uris = ("old/2024/gallery", "s3://b/2025/gallery/", "known")
    assert named_galleries(uris) == {"2024/gallery": uris[0], "2025/gallery": uris[1], "known": uris[2]}
    assert named_galleries(("gallery", "x/gallery")) == {"gallery": "gallery", "x/gallery": "x/gallery"}
