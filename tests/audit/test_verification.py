from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from audit.config import AuditSettings
from audit.gallery import Gallery
from audit.records import AuditedFace, AuditedPicture, AuditTask, FaceOrigin, LedgerPicture
from audit.verification import Auditor, search_gallery, search_outside
from cfanet.records import Box, FaceDecision, FaceRecord, ImageArray, ImageStatus
from cfanet.search import References
from tests.audit.fakes import FakeRecognizer, FakeSecondDetector, enrolled, face_record, picture, png, sha256

LEFT, RIGHT = (10.0, 10.0, 50.0, 60.0), (100.0, 10.0, 140.0, 60.0)
RECOGNIZER = FakeRecognizer()
THRESHOLDS = {"fake": 0.9}
ORIGINAL = picture((LEFT, 30), (RIGHT, 90))


def _auditor(*seen: Box) -> Auditor:
    return Auditor({"fake": RECOGNIZER}, FakeSecondDetector(*seen), THRESHOLDS, AuditSettings())


def _task(
    released: ImageArray,
    faces: Sequence[FaceRecord],
    *boxes: Box,
    original: ImageArray | None = ORIGINAL,
    key: str = "a",
) -> AuditTask:
    data = png(released)
    known = enrolled(key, ORIGINAL, RECOGNIZER, *boxes, subject="person")
    ledger = LedgerPicture(key, ImageStatus.ANONYMIZED, "", known.input_sha256, sha256(data), tuple(faces))
    return AuditTask(ledger, known, data, original)


def _both() -> list[FaceRecord]:
    return [face_record(0, LEFT), face_record(1, RIGHT)]


def _only(found: tuple[AuditedPicture, ...]) -> tuple[AuditedFace, ...]:
    assert len(found) == 1
    return found[0].faces


def test_replaced_faces_do_not_match_and_a_face_left_does() -> None:
    faces = _only(_auditor().audit([_task(picture((LEFT, 130), (RIGHT, 90)), _both(), LEFT, RIGHT)]))
    assert [face.origin for face in faces] == [FaceOrigin.LEDGER] * 2
    assert [face.comparisons[0].passed for face in faces] == [True, False]
    assert [face.comparisons[0].reference_id for face in faces] == ["a#0", "a#1"]
    assert faces[1].comparisons[0].similarity == pytest.approx(1.0, abs=1e-6)
    assert faces[1].comparisons[0].angle_deg == pytest.approx(0.0, abs=0.1)
    assert [face.unchanged for face in faces] == [False, True]
    assert [face.pixel_change for face in faces] == pytest.approx([100.0, 0.0])


def test_a_face_that_no_ledger_row_covers_is_examined_all_the_same() -> None:
    faces = _only(_auditor().audit([_task(picture((LEFT, 130), (RIGHT, 90)), _both()[:1], LEFT, RIGHT)]))
    assert [face.origin for face in faces] == [FaceOrigin.LEDGER, FaceOrigin.GALLERY]
    assert faces[1].record is None
    assert not faces[1].comparisons[0].passed
    assert faces[1].unchanged


def test_a_face_added_later_is_compared_with_the_pixels_of_its_original() -> None:
    faces = _only(_auditor().audit([_task(picture((LEFT, 130), (RIGHT, 90)), _both(), LEFT)]))
    assert not faces[1].fta
    assert faces[1].comparisons[0].reference_id == "a#box1"
    assert not faces[1].comparisons[0].passed


def test_a_face_that_cannot_be_compared_is_a_failure_to_acquire() -> None:
    faces = _only(_auditor().audit([_task(picture((LEFT, 130)), _both(), LEFT, original=None)]))
    assert [face.fta for face in faces] == [False, True]
    assert [face.unchanged for face in faces] == [None, None]
    assert faces[1].comparisons == ()


def test_obscured_faces_are_examined_too() -> None:
    records = [face_record(0, LEFT, FaceDecision.OBSCURED)]
    faces = _only(_auditor().audit([_task(picture((LEFT, 0)), records, LEFT)]))
    assert len(faces) == 1
    assert faces[0].comparisons[0].passed


def test_the_second_detector_tells_missed_faces_from_replaced_and_changed_ones() -> None:
    missed, changed = (150.0, 70.0, 180.0, 110.0), (60.0, 70.0, 90.0, 110.0)
    released = picture((LEFT, 130), (RIGHT, 190), (changed, 77))
    faces = _only(_auditor(LEFT, missed, changed).audit([_task(released, _both(), LEFT, RIGHT)]))
    seen = [face for face in faces if face.origin is FaceOrigin.SECOND_DETECTOR]
    assert [(face.box, face.unchanged) for face in seen] == [(missed, True), (changed, False)]


def test_what_the_second_detector_sees_in_the_original_is_noted() -> None:
    task = _task(picture((LEFT, 130), (RIGHT, 190)), _both(), LEFT, RIGHT)
    faces = _only(_auditor(LEFT).audit([task]))
    assert [face.strata["second detector"] for face in faces] == ["sees it", "does not see it"]
    assert "second detector" not in _only(_auditor(LEFT).audit([replace(task, original=None)]))[0].strata


def test_without_the_original_a_missed_face_stays_unconfirmed() -> None:
    missed = (150.0, 70.0, 180.0, 110.0)
    faces = _only(_auditor(missed).audit([_task(picture((LEFT, 130)), [], original=None)]))
    assert [face.unchanged for face in faces] == [None]


def test_swapped_bytes_metadata_and_wrong_size_are_findings() -> None:
    task = _task(picture((LEFT, 130)), _both(), LEFT, RIGHT)
    (clean,) = _auditor().audit([task])
    assert clean.findings == ()
    (swapped,) = _auditor().audit([replace(task, released=png(picture((LEFT, 131))))])
    assert "bytes differ from what the ledger recorded" in swapped.findings
    (tailed,) = _auditor().audit([replace(task, released=task.released + b"tail")])
    assert any("after the end" in finding for finding in tailed.findings)
    (sized,) = _auditor().audit([replace(task, original=picture(size=(60, 60)))])
    assert any("size changed" in finding for finding in sized.findings)
    withheld = replace(task, ledger=replace(task.ledger, status=ImageStatus.QUARANTINED))
    assert any("quarantined" in finding for finding in _auditor().audit([withheld])[0].findings)


def test_an_unreadable_release_is_a_finding_and_its_faces_are_unverified() -> None:
    task = replace(_task(picture(), _both(), LEFT, RIGHT), released=b"nothing")
    (found,) = _auditor().audit([task])
    assert any("cannot be read" in finding for finding in found.findings)
    assert [face.fta for face in found.faces] == [True, True]


def test_landmarks_that_coincide_do_not_stop_the_audit() -> None:
    task = _task(picture((LEFT, 130), (RIGHT, 140)), _both(), LEFT, RIGHT)
    flat = np.full((5, 2), 25.0, np.float32)
    first = replace(task.enrolled.faces[0], detection=replace(task.enrolled.faces[0].detection, landmarks=flat))
    broken = replace(task, enrolled=replace(task.enrolled, faces=(first, task.enrolled.faces[1])))
    faces = _only(_auditor().audit([broken]))
    assert [face.comparisons[0].passed for face in faces] == [True, True]


def _gallery() -> Gallery:
    greys = (30, 90, 130, 200)
    vectors = np.stack([RECOGNIZER.vector(grey) for grey in greys])
    return Gallery(References(("a#0", "a#1", "z#0", "y#0"), vectors), ("person", "", "stranger", "person"))


def test_the_search_finds_collisions_and_the_rank_of_the_true_identity() -> None:
    released = picture((LEFT, 130), (RIGHT, 90))  # left now is a stranger, right was left as it was
    examined = _auditor().audit([_task(released, _both(), LEFT, RIGHT)])
    (found,) = search_gallery(examined, {"fake": _gallery()}, THRESHOLDS)
    left, right = (face.searches[0] for face in found.faces)
    assert (left.best_other_id, left.collides) == ("z#0", True)
    assert left.best_other_similarity == pytest.approx(1.0, abs=1e-6)
    assert left.true_rank is not None
    assert left.true_rank >= 2
    assert (right.true_rank, right.collides) == (1, False)
    assert right.own_similarity == pytest.approx(1.0, abs=1e-6)
    assert [comparison.kind for comparison in found.faces[0].comparisons] == ["mated", "gallery"]


def test_another_picture_of_the_same_person_is_no_collision() -> None:
    examined = _auditor().audit([_task(picture((LEFT, 200)), _both()[:1], LEFT)])
    (found,) = search_gallery(examined, {"fake": _gallery()}, THRESHOLDS)
    assert not found.faces[0].searches[0].collides
    assert found.faces[0].searches[0].own_similarity == pytest.approx(1.0, abs=1e-6)


def test_other_galleries_are_searched_beside_the_originals() -> None:
    """The best of all other galleries is kept; ranks among the originals do not change by it."""
    examined = _auditor().audit([_task(picture((LEFT, 130), (RIGHT, 90)), _both(), LEFT, RIGHT)])
    greys = {"celebrities": (60, 160), "release-1": (130,)}
    others = {
        name: Gallery(
            References(tuple(f"{grey}#0" for grey in shades), np.stack([RECOGNIZER.vector(g) for g in shades])),
            ("",) * len(shades),
        )
        for name, shades in greys.items()
    }
    with_others = search_outside(examined, {"fake": others}, THRESHOLDS)
    (found,), (plain,) = (search_gallery(p, {"fake": _gallery()}, THRESHOLDS) for p in (with_others, examined))
    left = next(c for c in found.faces[0].comparisons if c.kind == "outside")
    assert (left.reference_id, left.passed) == ("release-1:130#0", False)
    assert [face.searches for face in found.faces] == [face.searches for face in plain.faces]


def test_nothing_depends_on_the_batch_and_no_embedding_is_left() -> None:
    tasks = [_task(picture((LEFT, 130 + i), (RIGHT, 90)), _both(), LEFT, RIGHT, key=f"k{i}") for i in range(5)]
    together = search_gallery(_auditor().audit(tasks), {"fake": _gallery()}, THRESHOLDS)
    alone = [search_gallery(_auditor().audit([task]), {"fake": _gallery()}, THRESHOLDS)[0] for task in reversed(tasks)][
        ::-1
    ]
    assert len(together) == 5
    for one, other in zip(together, alone, strict=True):
        assert [vars(face) for face in one.faces] == [vars(face) for face in other.faces]
        assert all(not face.embeddings for face in one.faces)


def test_every_recognizer_needs_a_threshold() -> None:
    with pytest.raises(ValueError, match="no threshold for recognizer 'fake'"):
        Auditor({"fake": RECOGNIZER}, FakeSecondDetector(), {}, AuditSettings())
