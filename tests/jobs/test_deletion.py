"""What is deleted is gone, in a folder and in a bucket; what is not stays whole, and evidence holds without it."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from audit.enrol import Pseudonyms
from audit.erase import Who, erase
from audit.gallery import load, load_subjects, read_names, read_versions, seal, snapshot_of, write_shard
from audit.names import name_hashes
from audit.records import EnrolledPicture
from cfanet.errors import ConfigError, InputError
from jobs.config import ReleaseConfig
from jobs.deletion import Wanted, delete
from jobs.gallery_store import GalleryStore
from jobs.progress import Progress
from jobs.release import audit, release
from jobs.verify import verify
from tests.audit.test_erase import STAMP, face
from tests.jobs.fakes import FakeTools, encoded, write_tar
from tests.jobs.s3 import Bucket, variables

Open = Callable[[], GalleryStore]


def yes(what: str) -> bool:
    return True


@pytest.fixture(params=["folder", "bucket"])
def store(
    request: pytest.FixtureRequest, endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Open]:
    """Ada (two pictures), Bob (one) and strangers, with a calibration, probes and a killed worker's draft."""
    uri = str(tmp_path / "gallery")
    if request.param == "bucket":
        for name, value in variables(endpoint).items():
            monkeypatch.setenv(name, value)
        Bucket(endpoint, f"b{abs(hash(str(tmp_path))):x}")
        uri = f"s3://b{abs(hash(str(tmp_path))):x}/private"
    gallery = GalleryStore(uri)
    gallery.create()
    pseudonyms = gallery.pseudonyms()
    for shard, label in (("a", "Ada Byron"), ("b", "Bob Ray"), ("sub/c", "Ada Byron")):
        with gallery.draft(shard) as folder:
            found = (face(shard, 0, pseudonyms.of(label), ord(shard[-1])),)
            stranger = EnrolledPicture(f"{shard}-other", "0" * 64, (face(f"{shard}-other", 0, "", 99),))
            pictures = [EnrolledPicture(shard, "0" * 64, found), stranger]
            write_shard(folder, shard, pictures, STAMP, name_hashes(label, pseudonyms))
    with gallery.whole() as folder:
        seal(folder)
        (folder / "calibration").mkdir()
        (folder / "calibration/fake.json").write_text("{}")
    with GalleryStore(f"{uri}/probes").draft("a") as folder:
        write_shard(folder, "a", [EnrolledPicture("a", "0" * 64, (face("a", 0, "", 5),))], STAMP)
    if request.param == "folder":
        (tmp_path / "gallery/shards/.a.parquet.0123").write_bytes(b"half a shard")
        (tmp_path / "gallery/notes.txt").write_text("the owner's own")
    yield lambda: GalleryStore(uri)


def _digest(store: Open) -> str:
    with store().whole() as folder:
        recorded = str(read_versions(folder)[-1]["sha256"])
        assert snapshot_of(folder).sha256 == recorded, "the snapshot is not that of the shards"
        return recorded


def test_one_person(store: Open) -> None:
    before = _digest(store)
    person = store().pseudonyms().of("Ada Byron")
    asked: list[str] = []

    def agree(what: str) -> bool:
        asked.append(what)
        return True

    done = delete(Wanted(store().uri, subject="Ada Byron"), agree)
    assert asked[0].startswith(f"2 faces in 2 pictures of person {person}") and "Ada" not in done
    assert done.startswith(f"Deleted: 2 faces in 2 pictures of person {person} from ")
    after = _digest(store)
    assert before in done and after in done and before != after
    with store().whole() as folder:
        assert person not in load_subjects(folder) and len(load(folder, "fake").ids) == 4
        assert read_names(folder) == name_hashes("Bob Ray", store().pseudonyms())
        assert [v["sha256"] for v in read_versions(folder)] == [before, after], "the evidence's snapshot is still known"
    left = store().files()
    assert not [path for path in left if path.startswith(("probes", "calibration")) or "/." in path], left
    with pytest.raises(InputError, match="nobody and nothing of that name"):
        delete(Wanted(store().uri, subject="Ada Byron"), yes)
    assert _digest(store) == after


def test_by_the_pseudonym_that_evidence_shows_and_by_picture(store: Open) -> None:
    person = store().pseudonyms().of("Bob Ray")
    assert f"1 face in 1 picture of person {person}" in delete(Wanted(store().uri, subject=person), yes)
    assert "1 face in 1 picture from" in delete(Wanted(store().uri, pictures=("a-other",)), yes)
    with store().whole() as folder:
        assert load(folder, "fake").ids == ("a#0", "b-other#0", "sub/c#0", "sub/c-other#0")
    _digest(store)


def test_stopped_before_the_snapshot_was_sealed(store: Open) -> None:
    """The shards are written, the snapshot is not: the same command seals it, and says how it stands."""
    with store().whole() as folder:
        for path in erase(folder, Who(store().pseudonyms().of("Ada Byron"))).shards:
            store().put(folder, path)
    done = delete(Wanted(store().uri, subject="Ada Byron"), yes)
    assert "which holds 4 faces" in done
    _digest(store)


def test_the_present_snapshot(store: Open) -> None:
    digest = _digest(store)
    with pytest.raises(InputError, match="no snapshot of this gallery"):
        delete(Wanted(store().uri, snapshot="0" * 12), yes)
    with pytest.raises(InputError, match="no digest"):
        delete(Wanted(store().uri, snapshot="latest"), yes)
    done = delete(Wanted(store().uri, snapshot=digest[:12]), yes)
    assert done.startswith("Deleted: all 3 enrolled shards of ") and digest in done
    assert store().files() == ["snapshot.json", "pseudonyms.key"]
    with store().whole() as folder, pytest.raises(InputError, match="holds no shard"):
        snapshot_of(folder)
    assert delete(Wanted(store().uri, snapshot=digest[:12]), yes).startswith("Deleted: all 0"), "stopped in between"
    with store().draft("a") as folder:
        write_shard(folder, "a", [EnrolledPicture("a", "0" * 64, (face("a", 0, "", 5),))], STAMP)
    with store().whole() as folder:
        seal(folder)
        assert [v.get("deleted", False) for v in read_versions(folder)] == [True, False]
    with pytest.raises(InputError, match="version 1 of 2"):
        delete(Wanted(store().uri, snapshot=digest[:12]), yes)


def test_all_of_it_and_nothing_else(store: Open, tmp_path: Path) -> None:
    done = delete(Wanted(store().uri), yes)
    assert done.startswith("Deleted: all 3 enrolled shards of ")
    assert store().files() == [] and not store().made
    if not store().uri.startswith("s3://"):
        assert os.listdir(tmp_path / "gallery") == ["notes.txt"], "what is not the gallery's own stays"
    with pytest.raises(InputError, match="there is no gallery"):
        delete(Wanted(store().uri), yes)


def test_the_key_goes_last(store: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped anywhere, what is left has its key, and the same command deletes the rest."""
    files = store().files()
    assert files[-1] == "pseudonyms.key" and files[0].startswith("shards/")
    store().delete(files[:2])
    assert store().made and store().files() == files[2:]
    delete(Wanted(store().uri), yes)
    assert store().files() == []


def test_nothing_happens_unless_somebody_agrees(store: Open) -> None:
    files, digest = store().files(), _digest(store)
    for wanted in (Wanted(store().uri), Wanted(store().uri, subject="Ada Byron"), Wanted(store().uri, digest)):
        with pytest.raises(ConfigError, match="nothing was deleted"):
            delete(wanted, lambda what: False)
    assert store().files() == files and _digest(store) == digest
    with pytest.raises(ConfigError, match="give --snapshot or --subject"):
        delete(Wanted(store().uri, digest, "Ada Byron"), yes)


def test_a_bucket_with_versions_is_said_to_keep_them(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables(endpoint).items():
        monkeypatch.setenv(name, value)
    bucket = Bucket(endpoint, "versioned")
    bucket.client.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
    GalleryStore("s3://versioned/g").create()
    assert "old versions" in delete(Wanted("s3://versioned/g"), yes)


def test_a_folder_that_is_no_gallery_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photos/shards2").mkdir(parents=True)
    (tmp_path / "photos/shards2/a.parquet").write_bytes(b"")
    with pytest.raises(InputError, match="there is no gallery"):
        delete(Wanted(str(tmp_path / "photos")), yes)
    assert (tmp_path / "photos/shards2/a.parquet").exists()


def test_links_lead_nowhere_but_to_its_own_folders(tmp_path: Path) -> None:
    """Shards may lie on another disk; what a link inside them points to is not the gallery's."""
    for name in ("disk", "elsewhere", "gallery"):
        (tmp_path / name).mkdir()
    (tmp_path / "gallery/shards").symlink_to(tmp_path / "disk")
    (tmp_path / "disk/far").symlink_to(tmp_path / "elsewhere")
    for name in ("disk/a.parquet", "elsewhere/keep.parquet"):
        (tmp_path / name).write_bytes(b"x")
    delete(Wanted(str(tmp_path / "gallery")), yes)
    assert not (tmp_path / "disk/a.parquet").exists() and (tmp_path / "elsewhere/keep.parquet").exists()


def test_without_its_key_a_gallery_knows_no_labels(tmp_path: Path) -> None:
    pseudonyms = Pseudonyms.of_gallery(tmp_path)
    person = pseudonyms.of("Ada Byron")
    write_shard(tmp_path, "a", [EnrolledPicture("a", "0" * 64, (face("a", 0, person, 1),))], STAMP)
    (tmp_path / "pseudonyms.key").unlink()
    with pytest.raises(InputError, match="no key of pseudonyms"):
        delete(Wanted(str(tmp_path), subject="Ada Byron"), yes)
    assert not (tmp_path / "pseudonyms.key").exists()
    assert "1 face" in delete(Wanted(str(tmp_path), subject=person), yes)


@pytest.mark.usefixtures("inline")
def test_evidence_stands_and_the_next_audit_does_not_enrol_again(
    source: Path, make_config: Callable[..., ReleaseConfig], quiet: Progress
) -> None:
    people = [("a.json", b'{"identity": "Ada Byron"}'), ("b.json", b'{"identity": "Bob Ray"}')]
    write_tar(source / "s.tar", [("a.png", encoded([1])), people[0], ("b.png", encoded([2])), people[1]])
    config = make_config()
    release(config, quiet, FakeTools).raise_for_status()
    before = verify(config)
    delete(Wanted(config.gallery_uri, subject="Ada Byron"), yes)
    assert verify(config) == before and before.sealed
    outcome = audit(config, quiet, FakeTools)
    assert outcome.verdict is not None and outcome.verdict.passed
    with GalleryStore(config.gallery_uri).whole() as folder:
        assert load(folder, "fake-judge").ids == ("s/b#0",), "she was enrolled again"
    report = json.loads((Path(config.destination.uri) / "_cfanet/report.json").read_text())
    assert report["gallery"]["n_references"] == 1
