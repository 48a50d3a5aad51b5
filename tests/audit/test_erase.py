"""Erasure leaves everybody else exactly as they were, and nothing of who is erased."""

from pathlib import Path

import numpy as np
import pytest

from audit.duplicates import read_fingerprints
from audit.enrol import Pseudonyms
from audit.erase import Who, erase, find
from audit.gallery import (
    ShardStamp,
    has_shard,
    load,
    load_subjects,
    read_names,
    read_shard,
    seal,
    write_shard,
)
from audit.names import name_hashes
from audit.records import EnrolledFace, EnrolledPicture
from tests.audit.fakes import detection, unit

STAMP = ShardStamp("etag", "settings")
PSEUDONYMS = Pseudonyms(bytes(range(32)))
ADA, BOB = PSEUDONYMS.of("Ada Byron"), PSEUDONYMS.of("Bob Ray")
PATCH = bytes(range(256)) + bytes(320)


def face(key: str, index: int, subject: str, seed: int) -> EnrolledFace:
    vector = unit(np.random.default_rng(seed), 1)[0]
    return EnrolledFace(key, index, subject, detection((10.0, 10.0, 60.0, 60.0)), {"fake": vector}, PATCH)


def shard(name: str) -> list[EnrolledPicture]:
    """One picture of Ada and a bystander, one of Bob, one without a face."""
    ada = (face(f"{name}/ada", 0, ADA, 1), face(f"{name}/ada", 1, "", 2))
    pictures = {f"{name}/ada": ada, f"{name}/bob": (face(f"{name}/bob", 0, BOB, 3),), f"{name}/empty": ()}
    return [EnrolledPicture(key, "0" * 64, faces, 7, 200, 200, {"age": "30s"}) for key, faces in pictures.items()]


@pytest.fixture(name="gallery")
def _gallery(tmp_path: Path) -> Path:
    names = name_hashes("Ada Byron", PSEUDONYMS) | name_hashes("Bob Ray", PSEUDONYMS)
    for name in ("a", "sub/b"):
        write_shard(tmp_path, name, shard(name), STAMP, names)
    write_shard(tmp_path, "c", shard("c")[1:], STAMP, name_hashes("Bob Ray", PSEUDONYMS))
    seal(tmp_path)
    return tmp_path


def _bytes(gallery: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(gallery.rglob("*.parquet")))


def test_a_person_is_gone_and_all_others_are_as_they_were(gallery: Path) -> None:
    others = {name: [p for p in read_shard(gallery, name) if "ada" not in p.sample_key] for name in ("a", "sub/b", "c")}
    untouched = (gallery / "shards/c.parquet").read_bytes()
    gone = load(gallery, "fake").embeddings[0].tobytes()
    assert gone in _bytes(gallery), "the test could not fail"
    who = Who(ADA, names=name_hashes("Ada Byron", PSEUDONYMS))
    expected = find(gallery, who)
    assert (expected.pictures, expected.faces, len(expected.shards)) == (2, 4, 2)
    assert erase(gallery, who) == expected
    for name, before in others.items():
        after = read_shard(gallery, name)
        assert [p.sample_key for p in after] == [p.sample_key for p in before] and before
        for old, new in zip(before, after, strict=True):
            assert (old.fingerprint, old.labels, len(old.faces)) == (new.fingerprint, new.labels, len(new.faces))
            for one, other in zip(old.faces, new.faces, strict=True):
                assert one.embeddings["fake"].tobytes() == other.embeddings["fake"].tobytes()
                assert (one.reference_id, one.subject_id, one.patch) == (other.reference_id, other.subject_id, PATCH)
    assert (gallery / "shards/c.parquet").read_bytes() == untouched
    assert ADA not in load_subjects(gallery) and gone not in _bytes(gallery)
    assert not [key for _, key, _ in read_fingerprints(gallery) if "ada" in key]
    assert read_names(gallery) == name_hashes("Bob Ray", PSEUDONYMS)
    assert all(has_shard(gallery, name, STAMP) for name in others), "the next run would enrol her again"
    assert find(gallery, who).shards == ()


def test_pictures_go_by_key_whoever_they_show(gallery: Path) -> None:
    found = erase(gallery, Who(pictures=frozenset({"a/bob", "c/empty", "elsewhere"})))
    assert (found.pictures, found.faces, len(found.shards)) == (2, 1, 2)
    assert [p.sample_key for p in read_shard(gallery, "c")] == ["c/bob"]
    assert len(load(gallery, "fake").ids) == 6


def test_a_shard_may_become_empty(gallery: Path) -> None:
    erase(gallery, Who(BOB, frozenset({"c/empty"})))
    assert read_shard(gallery, "c") == []
    assert seal(gallery).n_references == 4
    assert len(load(gallery, "fake").ids) == len(load_subjects(gallery)) == 4


def test_stopped_in_between_it_is_finished_by_the_same_call(gallery: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import audit.erase

    rewrite, done = audit.erase._rewrite, list[Path]()

    def dies(path: Path, *rest: object) -> None:
        if done:
            raise KeyboardInterrupt
        done.append(path)
        rewrite(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("audit.erase._rewrite", dies)
    with pytest.raises(KeyboardInterrupt):
        erase(gallery, Who(ADA))
    monkeypatch.undo()
    assert load_subjects(gallery).count(ADA) == 1
    assert erase(gallery, Who(ADA)).pictures == 1
    assert ADA not in load_subjects(gallery)
    assert not list(gallery.rglob(".*")), "a draft holds embeddings"


def test_nobody_is_everybody_for_no_one(gallery: Path) -> None:
    """An empty pseudonym is that of every stranger: it must not erase them."""
    before = _bytes(gallery)
    assert erase(gallery, Who()).shards == ()
    assert _bytes(gallery) == before
