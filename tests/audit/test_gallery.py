import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from audit import gallery
from audit.enrol import Enroller, Original, Pseudonyms
from audit.gallery import Gallery, ShardStamp
from audit.records import EnrolledPicture
from cfanet.errors import InputError
from cfanet.search import References
from tests.audit.fakes import FakeDetector, FakeRecognizer, picture

BOXES = ((10.0, 10.0, 40.0, 40.0), (80.0, 10.0, 160.0, 110.0))
STAMP = ShardStamp("etag", "settings")


def _pictures(prefix: str, *greys: int) -> list[EnrolledPicture]:
    recognizers = {"fake": FakeRecognizer(), "torchscript:x.pt": FakeRecognizer("torchscript:x.pt")}
    pseudonyms = Pseudonyms(b"k" * 32)
    found = []
    for number, grey in enumerate(greys):
        boxes = BOXES if grey else ()
        image = picture(*((box, grey) for box in boxes))
        enroller = Enroller(FakeDetector(*boxes), recognizers, pseudonyms)
        found += enroller.enrol([Original(f"{prefix}{number}", f"{number:064d}", image, f"person {grey}")])
    return found


def test_a_shard_reads_back_as_it_was_written(tmp_path: Path) -> None:
    written = _pictures("a", 30, 0, 90)
    gallery.write_shard(tmp_path, "train-0.tar", written, STAMP)
    read = gallery.read_shard(tmp_path, "train-0.tar")
    assert [(p.sample_key, p.input_sha256, len(p.faces)) for p in read] == [
        (p.sample_key, p.input_sha256, len(p.faces)) for p in written
    ]
    pairs = [(a, b) for p, q in zip(written, read, strict=True) for a, b in zip(p.faces, q.faces, strict=True)]
    assert len(pairs) == 4
    for before, after in pairs:
        assert (before.reference_id, before.subject_id) == (after.reference_id, after.subject_id)
        assert (before.detection.box, before.detection.score) == (after.detection.box, after.detection.score)
        np.testing.assert_array_equal(before.detection.landmarks, after.detection.landmarks)
        assert set(before.embeddings) == set(after.embeddings)
        np.testing.assert_array_equal(before.embeddings["fake"], after.embeddings["fake"])


def test_a_shard_counts_only_with_its_stamp(tmp_path: Path) -> None:
    assert not gallery.has_shard(tmp_path, "s.tar", STAMP)
    gallery.write_shard(tmp_path, "s.tar", _pictures("a", 30), STAMP)
    assert gallery.has_shard(tmp_path, "s.tar", STAMP)
    assert not gallery.has_shard(tmp_path, "s.tar", ShardStamp("other etag", "settings"))
    assert not gallery.has_shard(tmp_path, "s.tar", ShardStamp("etag", "other settings"))


def test_loading_gives_all_references_in_one_order(tmp_path: Path) -> None:
    gallery.write_shard(tmp_path, "b.tar", _pictures("b", 50), STAMP)
    gallery.write_shard(tmp_path, "a.tar", _pictures("a", 30, 0), STAMP)
    references = gallery.load(tmp_path, "fake")
    assert references.ids == ("a0#0", "a0#1", "b0#0", "b0#1")
    np.testing.assert_array_equal(references.embeddings[2], FakeRecognizer().vector(50))
    rows = gallery.gallery_rows(tmp_path)
    assert tuple(row.reference_id for row in rows) == references.ids
    subjects = gallery.load_subjects(tmp_path)
    assert [bool(subject) for subject in subjects] == [False, True, False, True]
    opened = gallery.open_gallery(tmp_path, "fake")
    assert (opened.references.ids, opened.subjects) == (references.ids, subjects)


def test_the_seal_changes_with_any_byte_and_with_nothing_else(tmp_path: Path) -> None:
    gallery.write_shard(tmp_path, "a.tar", _pictures("a", 30, 0), STAMP)
    gallery.write_shard(tmp_path, "b.tar", _pictures("b", 50), STAMP)
    first = gallery.seal(tmp_path)
    assert (first.n_references, first.n_subjects, first.n_pictures) == (4, 2, 3)
    assert first.recognizers == ("fake", "torchscript:x.pt")
    assert gallery.seal(tmp_path) == first
    gallery.write_shard(tmp_path, "b.tar", _pictures("b", 51), STAMP)
    second = gallery.seal(tmp_path)
    assert second.sha256 != first.sha256
    known = json.loads((tmp_path / "snapshot.json").read_text())["versions"]
    assert [(v["version"], v["sha256"]) for v in known] == [(1, first.sha256), (2, second.sha256)]


def test_a_shard_of_pictures_without_faces_adds_no_reference(tmp_path: Path) -> None:
    gallery.write_shard(tmp_path, "a.tar", _pictures("a", 0, 0), STAMP)
    assert gallery.load(tmp_path, "fake").ids == ()
    assert len(gallery.read_shard(tmp_path, "a.tar")) == 2


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no shard"):
        gallery.seal(tmp_path)
    gallery.write_shard(tmp_path, "a.tar", _pictures("a", 30), STAMP)
    with pytest.raises(InputError, match="without recognizer 'dlib'"):
        gallery.load(tmp_path, "dlib")
    with pytest.raises(InputError, match="not in the gallery"):
        gallery.read_shard(tmp_path, "z.tar")


def test_a_shard_enrolled_picture_by_picture_is_there_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gallery, "_ROWS", 2)
    pictures, sizes = (
        _pictures("a", 30, 0, 50, 70, 90),
        dict.fromkeys(("fake", "torchscript:x.pt"), FakeRecognizer().dim),
    )
    with pytest.raises(KeyboardInterrupt), gallery.new_shard(tmp_path, "s.tar", STAMP, sizes) as draft:
        draft.add(pictures)
        raise KeyboardInterrupt
    assert not list(tmp_path.rglob("*.parquet"))
    with gallery.new_shard(tmp_path, "s.tar", STAMP, sizes) as draft:
        for picture in pictures:
            draft.add([picture])
            draft.names.add(picture.sample_key)
        assert not gallery.has_shard(tmp_path, "s.tar", STAMP)
    assert gallery.has_shard(tmp_path, "s.tar", STAMP)
    assert [p.sample_key for p in gallery.read_shard(tmp_path, "s.tar")] == [p.sample_key for p in pictures]
    assert gallery.read_names(tmp_path) == {p.sample_key for p in pictures}
    gallery.write_shard(tmp_path, "t.tar", pictures, STAMP)
    for name in ("s", "t"):
        assert pq.ParquetFile(tmp_path / f"shards/{name}.tar.parquet").num_row_groups == 3


@pytest.mark.parametrize("name", ["../a.tar", "/etc/a.tar", ""])
def test_a_shard_cannot_leave_the_gallery(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="shard name"):
        gallery.write_shard(tmp_path, name, [], STAMP)


def test_references_and_subjects_must_agree() -> None:
    with pytest.raises(ValueError, match="subjects"):
        Gallery(References(("a",), np.ones((1, 4), np.float32)), ())
