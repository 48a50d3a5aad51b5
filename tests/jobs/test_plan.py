"""What is to do, and what a destination may be."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cfanet.errors import ConfigError, InputError
from jobs.config import ReleaseConfig
from jobs.manifest import Counts, Manifest, ManifestOutput, write_manifest
from jobs.plan import RUN_FILE, make_plan, read_source, stale_records
from jobs.storage import LocalStorage, write_bytes
from tests.jobs.fakes import encoded, write_tar

Make = Callable[..., ReleaseConfig]


def _manifest(config: ReleaseConfig, shard: str, etag: str) -> Manifest:
    return Manifest(
        shard=shard, format="webdataset", config_digest=config.digest(""), source_etag=etag, source_files=1,
        source_bytes=1, outputs=(ManifestOutput(path=f"{shard}.tar", sha256="0" * 64, size=3),), counts=Counts(),
        dropped_members={}, kept_members={}, quarantine_reasons={}, key_fingerprint="", model_digest="",
        gallery_digest="", code_version="0", ledger_sha256="", seconds={}, peak_memory_bytes=0,
    )  # fmt: skip


def test_shards_are_items_named_by_their_paths(source: Path, make_config: Make) -> None:
    for name in ("b/1.tar", "a.tar", "c.TAR", "notes.md"):
        write_tar(source / name, [])
    name, items, ignored = read_source(make_config())
    assert (name, [item.shard for item in items]) == ("webdataset", ["a", "b/1", "c"])
    assert ignored == {"md": 1}


def test_pictures_make_folder_items_with_every_file(source: Path, make_config: Make) -> None:
    for number in range(3):
        write_bytes(LocalStorage(source), f"x/{number}.JPG", encoded())
    write_bytes(LocalStorage(source), "x/notes.txt", b"")
    name, items, _ = read_source(make_config(run__files_per_shard=3))
    assert name == "folder"
    assert [len(item.files) for item in items] == [3, 1]


@pytest.mark.parametrize("format", ["auto", "webdataset", "folder"])
def test_missing_and_empty_sources(source: Path, make_config: Make, format: str) -> None:
    with pytest.raises(InputError, match=r"SRC .* holds no"):
        make_plan(make_config(source__format=format), "")
    with pytest.raises(InputError, match=r"SRC .* is not a folder"):
        make_plan(make_config(source__uri=str(source / "none")), "")


def test_two_formats_at_once_need_a_decision(source: Path, make_config: Make) -> None:
    write_tar(source / "a.tar", [])
    write_bytes(LocalStorage(source), "b.png", encoded())
    with pytest.raises(InputError, match=r"set source\.format"):
        make_plan(make_config(), "")
    assert make_plan(make_config(source__format="webdataset"), "").ignored == {"png": 1}


def test_same_name_in_two_spellings(source: Path, make_config: Make) -> None:
    write_tar(source / "a.tar", [])
    write_tar(source / "a.TAR", [])
    with pytest.raises(InputError, match="twice"):
        make_plan(make_config(), "")


def test_a_shard_whose_name_no_record_can_hold_is_refused(source: Path, make_config: Make) -> None:
    write_tar(source / "a\udcff.tar", [])
    with pytest.raises(InputError, match="not valid UTF-8; rename it"):
        make_plan(make_config(), "")


@pytest.mark.parametrize("place", [".", "inside", ".."])
def test_destination_and_source_must_be_apart(source: Path, make_config: Make, place: str) -> None:
    write_tar(source / "a.tar", [])
    with pytest.raises(InputError, match="lie inside each other"):
        make_plan(make_config(destination__uri=str(source / place)), "")


def test_the_gallery_must_be_neither_in_source_nor_in_destination(
    source: Path, tmp_path: Path, make_config: Make
) -> None:
    write_tar(source / "a.tar", [])
    for place in (source / "gallery", tmp_path / "released" / "gallery"):
        with pytest.raises(ConfigError, match="biometric"):
            make_plan(make_config(run__gallery=str(place)), "")


def test_a_destination_with_other_files_is_refused_and_left_alone(
    source: Path, tmp_path: Path, make_config: Make
) -> None:
    write_tar(source / "a.tar", [])
    write_bytes(LocalStorage(tmp_path / "released"), "a.tar", b"precious")
    with pytest.raises(InputError, match="not empty and no release of this tool"):
        make_plan(make_config(), "")
    assert [p.name for p in (tmp_path / "released").rglob("*") if p.is_file()] == ["a.tar"]


def test_a_destination_that_is_a_file_is_refused(source: Path, tmp_path: Path, make_config: Make) -> None:
    write_tar(source / "a.tar", [])
    (tmp_path / "released").write_bytes(b"")
    with pytest.raises(InputError, match="is a file"):
        make_plan(make_config(), "")


def test_a_destination_that_cannot_be_made_is_refused(source: Path, tmp_path: Path, make_config: Make) -> None:
    write_tar(source / "a.tar", [])
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="not writable"):
        make_plan(make_config(destination__uri=str(tmp_path / "file" / "released")), "")


def test_outputs_that_the_source_does_not_have_are_refused(source: Path, tmp_path: Path, make_config: Make) -> None:
    write_tar(source / "a.tar", [])
    released = LocalStorage(tmp_path / "released")
    write_bytes(released, RUN_FILE, b"{}")
    write_bytes(released, "z.tar", b"")
    with pytest.raises(InputError, match=r"'z\.tar', which SRC does not have"):
        make_plan(make_config(), "")


def test_done_means_same_configuration_same_source_and_files_still_there(
    source: Path, tmp_path: Path, make_config: Make
) -> None:
    for name in ("a", "b", "c", "d"):
        write_tar(source / f"{name}.tar", [])
    config, released = make_config(), LocalStorage(tmp_path / "released")
    write_bytes(released, RUN_FILE, b"{}")
    _, items, _ = read_source(config)
    for item in items:
        etag = "another" if item.shard == "b" else item.etag
        write_manifest(released, _manifest(config, item.shard, etag))
        if item.shard != "c":
            write_bytes(released, f"{item.shard}.tar", b"xx" if item.shard == "d" else b"xxx")
    plan = make_plan(config, "")
    assert list(plan.done) == ["a"]
    assert [item.shard for item in plan.todo] == ["b", "c", "d"]
    assert not make_plan(make_config(anonymize__angle_deg=12), "").done
    assert not make_plan(config, "a key").done


def test_records_of_vanished_shards_are_found(source: Path, tmp_path: Path, make_config: Make) -> None:
    write_tar(source / "a.tar", [])
    config, released = make_config(), LocalStorage(tmp_path / "released")
    for name in ("a", "old/b"):
        write_manifest(released, _manifest(config, name, ""))
    assert stale_records(released, read_source(config)[1]) == ["old/b"]
