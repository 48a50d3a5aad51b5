"""The anonymizing worker: same names, same order, and nothing unaltered ever leaves."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cfanet.errors import StorageError
from jobs.anonymize import AnonymizeWorker
from jobs.config import ReleaseConfig
from jobs.enrol import EnrolWorker
from jobs.ledger import read_ledger
from jobs.manifest import Manifest, read_manifest
from jobs.plan import read_source
from jobs.quarantine import read_quarantine
from jobs.storage import LocalStorage, write_bytes
from jobs.worker import JobContext
from tests.jobs.fakes import HIDDEN, POISON, FakeDetector, encoded, folder_digest, read_tar, write_tar

Make = Callable[..., ReleaseConfig]
MakeContext = Callable[[ReleaseConfig], JobContext]


@pytest.fixture
def run(make_context: MakeContext) -> Callable[[ReleaseConfig], list[Manifest]]:
    """Enrols and anonymizes every item of a configuration's source, in this process."""

    def build(config: ReleaseConfig) -> list[Manifest]:
        context = make_context(config)
        _, items, _ = read_source(config)
        enrol = EnrolWorker(context)
        for item in items:
            enrol.process(item)
        worker = AnonymizeWorker(context)
        return [worker.process(item) for item in items]

    return build


def _reasons(tmp_path: Path, shard: str = "s") -> dict[str, str]:
    return {item.picture: item.reason for item in read_quarantine(LocalStorage(tmp_path / "released"), shard)}


def test_same_members_same_order_and_every_face_replaced(
    source: Path, tmp_path: Path, make_config: Make, run: Callable[[ReleaseConfig], list[Manifest]]
) -> None:
    members = [
        (f"{i} ü.{e}", encoded([i] * (i % 3)) if e != "cls" else b"7") for i in range(1, 7) for e in ("png", "cls")
    ]
    write_tar(source / "s.tar", members)
    (manifest,) = run(make_config(destination__keep_members=["cls"]))
    released = read_tar(tmp_path / "released/s.tar")
    assert list(released) == [name for name, _ in members]
    originals = dict(members)
    with_faces = 0
    for name, data in released.items():
        if name.endswith("cls"):
            assert data == originals[name]
            continue
        found = FakeDetector(sees_hidden=True).detect(_pixels(originals[name]))
        with_faces += bool(found)
        assert FakeDetector(sees_hidden=True).detect(_pixels(data)) == []
    assert with_faces == 4
    counts = manifest.counts
    assert (counts.samples, counts.pictures, counts.anonymized, counts.no_face, counts.faces) == (6, 6, 4, 2, 6)
    assert manifest.kept_members == {"cls": 6} and manifest.dropped_members == {}
    assert read_manifest(LocalStorage(tmp_path / "released"), "s") == manifest


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_output_does_not_depend_on_the_batch(
    source: Path, tmp_path: Path, make_config: Make, run: Callable[[ReleaseConfig], list[Manifest]], batch: int
) -> None:
    write_tar(source / "s.tar", [(f"{i}.png", encoded([i, i + 1])) for i in range(5)])
    run(make_config(run__batch_size=batch))
    first = (tmp_path / "released/s.tar").read_bytes()
    run(make_config(run__batch_size=2, destination__uri=str(tmp_path / "other"), run__gallery=str(tmp_path / "g")))
    assert (tmp_path / "other/s.tar").read_bytes() == first


def test_whatever_goes_wrong_withholds_that_sample_only(
    source: Path, tmp_path: Path, make_config: Make, run: Callable[[ReleaseConfig], list[Manifest]]
) -> None:
    members = {
        "good.png": encoded([1]),
        "empty.png": b"",
        "rubbish.jpg": b"rubbish",
        "poison.png": encoded([POISON]),
        "pair.left.png": encoded([2]),
        "pair.right.png": b"",
        "only.json": b"{}",
        "thumb.png": encoded([3]),
        "thumb.bin": encoded([3], "JPEG"),
        "anim.gif": encoded([4], "GIF"),
        "last.png": encoded([5]),
    }
    write_tar(source / "s.tar", list(members.items()))
    (manifest,) = run(make_config(destination__keep_members=["bin"]))
    assert list(read_tar(tmp_path / "released/s.tar")) == ["good.png", "last.png"]
    assert _reasons(tmp_path) == {
        "empty": "empty",
        "rubbish": "undecodable",
        "poison": "anonymizer_failed",
        "pair.left.png": "sibling_withheld",
        "pair.right.png": "empty",
        "only": "no_picture",
        "thumb": "hidden_picture",
        "anim": "unsupported_format",
    }
    counts = manifest.counts
    assert (counts.samples, counts.released_samples) == (9, 2)
    assert counts.pictures == counts.anonymized + counts.no_face + counts.obscured + counts.quarantined == 10
    assert manifest.dropped_members == {}
    ledger = {e.picture.sample_key: e.picture for e in read_ledger(LocalStorage(tmp_path / "released"), "s")}
    assert ledger["pair.left.png"].output_sha256 == "" and ledger["pair.left.png"].faces[0].decision == "withheld"


def test_a_face_seen_only_after_encoding_is_replaced_too(
    source: Path, tmp_path: Path, make_config: Make, run: Callable[[ReleaseConfig], list[Manifest]]
) -> None:
    write_tar(source / "s.tar", [("a.png", encoded([1, HIDDEN])), ("b.png", encoded([HIDDEN]))])
    (manifest,) = run(make_config())
    assert (manifest.counts.anonymized, manifest.counts.faces) == (2, 3)
    for data in read_tar(tmp_path / "released/s.tar").values():
        assert FakeDetector(sees_hidden=True).detect(_pixels(data)) == []


def test_a_face_that_stays_withholds_the_picture(
    source: Path,
    tmp_path: Path,
    make_config: Make,
    run: Callable[[ReleaseConfig], list[Manifest]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_tar(source / "s.tar", [("a.png", encoded([1]))])
    seen = FakeDetector().detect(_pixels(encoded([1])))
    monkeypatch.setattr("tests.jobs.fakes.FakeAnonymizer.check_released", lambda *_: seen)
    run(make_config())
    assert read_tar(tmp_path / "released/s.tar") == {}
    assert _reasons(tmp_path) == {"a": "face_left"}


def test_an_error_in_the_check_withholds_the_picture(
    source: Path,
    tmp_path: Path,
    make_config: Make,
    run: Callable[[ReleaseConfig], list[Manifest]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any) -> None:
        raise OSError("the detector is gone")

    write_tar(source / "s.tar", [("a.png", encoded([1])), ("b.png", encoded())])
    monkeypatch.setattr("tests.jobs.fakes.FakeAnonymizer.check_released", fail)
    run(make_config())
    assert read_tar(tmp_path / "released/s.tar") == {}
    assert _reasons(tmp_path) == {"a": "check_failed", "b": "check_failed"}


def test_pictures_that_changed_or_were_never_enrolled_are_withheld(
    source: Path, tmp_path: Path, make_config: Make, make_context: MakeContext
) -> None:
    write_tar(source / "s.tar", [("a.png", encoded([1])), ("b.png", encoded([2]))])
    config = make_config()
    context = make_context(config)
    (item,) = read_source(config)[1]
    EnrolWorker(context).process(item)
    write_tar(source / "s.tar", [("a.png", encoded([9])), ("b.png", encoded([2])), ("c.png", encoded([3]))])
    with pytest.raises(StorageError, match="changed while it was being used"):
        AnonymizeWorker(context).process(item)  # not the file that was planned
    (item,) = read_source(config)[1]
    AnonymizeWorker(context).process(item)
    assert list(read_tar(tmp_path / "released/s.tar")) == ["b.png"]
    assert _reasons(tmp_path) == {"a": "changed", "c": "not_enrolled"}


def test_a_truncated_shard_is_finished_with_a_record_of_its_tail(
    source: Path, tmp_path: Path, make_config: Make, run: Callable[[ReleaseConfig], list[Manifest]]
) -> None:
    write_tar(source / "s.tar", [(f"{i}.png", encoded([i])) for i in range(4)])
    data = (source / "s.tar").read_bytes()
    (source / "s.tar").write_bytes(data[: len(encoded([0])) + 512 * 3])
    (manifest,) = run(make_config())
    assert list(read_tar(tmp_path / "released/s.tar")) == ["0.png"]
    assert manifest.quarantine_reasons["truncated_shard"] >= 1


def test_members_not_on_the_list_are_dropped_and_counted(
    source: Path, tmp_path: Path, make_config: Make, run: Callable[[ReleaseConfig], list[Manifest]]
) -> None:
    write_tar(source / "s.tar", [("a.png", encoded([1])), ("a.json", b"{}"), ("a.npy", b"1"), ("README", b"hi")])
    (manifest,) = run(make_config(destination__keep_members=["json"]))
    assert list(read_tar(tmp_path / "released/s.tar")) == ["a.png", "a.json"]
    assert manifest.dropped_members == {"npy": 1, "": 1} and manifest.kept_members == {"json": 1}
    assert manifest.counts.quarantined == 0


def test_folders_keep_paths_and_lose_what_is_withheld_now(
    source: Path, tmp_path: Path, make_config: Make, run: Callable[[ReleaseConfig], list[Manifest]]
) -> None:
    for name, data in {"a b/1.PNG": encoded([1]), "a b/notes.txt": b"x", "2.jpg": b"broken"}.items():
        write_bytes(LocalStorage(source), name, data)
    write_bytes(LocalStorage(tmp_path / "released"), "2.jpg", b"released by an earlier configuration")
    (manifest,) = run(make_config())
    assert list(folder_digest(tmp_path / "released")) == ["a b/1.PNG"]
    assert _reasons(tmp_path, "files-000000") == {"2.jpg": "undecodable"}
    assert manifest.dropped_members == {"txt": 1}


def _pixels(data: bytes) -> Any:
    from cfanet.images import decode

    return decode(data, 64.0).pixels
