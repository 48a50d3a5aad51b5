"""Local storage: whole files or none."""

import hashlib
from pathlib import Path

import pytest

from cfanet.errors import InputError, StorageError
from jobs.storage import LocalStorage, read_bytes, write_bytes


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


def test_clear_scratch_removes_what_a_killed_run_left(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    rubbish = tmp_path / "_cfanet" / "tmp" / "x"
    rubbish.parent.mkdir(parents=True)
    rubbish.write_bytes(b"half")
    storage.clear_scratch()
    assert not rubbish.exists()


def test_exclusive_writing_refuses_what_is_there(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    write_bytes(storage, "file", b"first", exclusive=True)
    with pytest.raises(FileExistsError):
        write_bytes(storage, "file", b"second", exclusive=True)
    assert read_bytes(storage, "file") == b"first"


def test_a_file_that_changed_since_it_was_listed_is_not_read(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    write_bytes(storage, "file", b"one")
    listed = storage.entry("file")
    assert listed is not None and read_bytes(storage, "file", listed.etag) == b"one"
    write_bytes(storage, "file", b"two")
    with pytest.raises(StorageError, match="changed while it was being used"):
        storage.open_read("file", listed.etag)


def test_one_folder_can_be_listed(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    for name in ("a", "_cfanet/manifest/x/y.json", "_cfanet/run.json"):
        write_bytes(storage, name, b"x")
    assert [entry.path for entry in storage.list("_cfanet/manifest")] == ["_cfanet/manifest/x/y.json"]
    assert not list(storage.list("nothing"))


def test_places_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a folder"):
        LocalStorage(tmp_path / "none").check_source()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="is a file"):
        LocalStorage(tmp_path / "file").check_writable()
