"""Local storage: whole files or none."""

import hashlib
from pathlib import Path

import pytest

from cfanet.errors import ConfigError
from jobs.storage import LocalStorage, open_storage, read_bytes, write_bytes


def test_write_and_read_back(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    with storage.open_write("a/b c/ü.bin") as file:
        file.write(b"12")
        file.write(b"3")
    assert read_bytes(storage, "a/b c/ü.bin") == b"123"
    assert (file.sha256, file.size) == (hashlib.sha256(b"123").hexdigest(), 3)


def test_an_error_leaves_the_old_file_and_no_rubbish(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    write_bytes(storage, "file", b"old")
    with pytest.raises(RuntimeError), storage.open_write("file") as file:
        file.write(b"new, but not whole")
        raise RuntimeError
    assert read_bytes(storage, "file") == b"old"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "file"]


def test_nothing_has_its_name_while_it_is_being_written(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    with storage.open_write("file") as file:
        file.write(b"half")
        assert not (tmp_path / "file").exists()
        assert list(storage.list()) == []
    assert (tmp_path / "file").exists()


def test_listing_is_sorted_follows_links_once_and_skips_private_files(tmp_path: Path) -> None:
    root = tmp_path / "root"
    storage = LocalStorage(root)
    for name in ("b/2", "a", "_cfanet/manifest/x.json", "_cfanetic", "b/.hidden"):
        write_bytes(storage, name, b"x")
    (root / "b" / "loop").symlink_to(root / "b")
    assert [entry.path for entry in storage.list()] == ["_cfanetic", "a", "b/.hidden", "b/2"]


def test_etag_changes_with_the_content(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    write_bytes(storage, "file", b"one")
    before = storage.entry("file")
    write_bytes(storage, "file", b"two")
    after = storage.entry("file")
    assert before is not None and after is not None and before.etag != after.etag
    storage.delete("file")
    storage.delete("file")
    assert storage.entry("file") is None


def test_remote_addresses_are_refused_in_one_sentence() -> None:
    with pytest.raises(ConfigError, match="s3:// addresses are not available in this version"):
        open_storage("s3://bucket/prefix")


def test_clear_scratch_removes_what_a_killed_run_left(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    rubbish = tmp_path / "_cfanet" / "tmp" / "x"
    rubbish.parent.mkdir(parents=True)
    rubbish.write_bytes(b"half")
    storage.clear_scratch()
    assert not rubbish.exists()
