import numpy as np
import pytest

from audit.overlap import assign, covered, pixel_change
from audit.records import EnrolledFace
from tests.audit.fakes import detection, face_record, picture

LEFT, RIGHT = (10.0, 10.0, 50.0, 60.0), (100.0, 10.0, 140.0, 60.0)


def _enrolled(index: int, box: tuple[float, float, float, float]) -> EnrolledFace:
    return EnrolledFace("k", index, "", detection(box), {})


def test_covered_by_centre_or_by_area() -> None:
    assert covered((20, 20, 40, 40), [LEFT])
    assert covered((0, 0, 30, 60), [LEFT])
    assert not covered(RIGHT, [LEFT])
    assert not covered(LEFT, [])


def test_faces_are_paired_by_overlap_and_not_by_index() -> None:
    records = [face_record(0, RIGHT), face_record(1, LEFT)]
    pairs, unrecorded = assign(records, [_enrolled(0, LEFT), _enrolled(1, RIGHT)])
    assert [(r.face_index, e.face_index if e else None) for r, e in pairs] == [(0, 1), (1, 0)]
    assert unrecorded == []


def test_a_face_without_a_row_and_a_row_without_a_face_are_both_told() -> None:
    pairs, unrecorded = assign([face_record(0, LEFT)], [_enrolled(4, RIGHT)])
    assert [enrolled for _, enrolled in pairs] == [None]
    assert [face.face_index for face in unrecorded] == [4]


def test_no_enrolled_face_serves_two_rows() -> None:
    pairs, _ = assign([face_record(0, LEFT), face_record(1, (12.0, 10.0, 52.0, 60.0))], [_enrolled(0, LEFT)])
    assert [enrolled is not None for _, enrolled in pairs] == [True, False]


def test_pixel_change_is_the_mean_difference_inside_the_box_alone() -> None:
    before = picture((LEFT, 50))
    after = picture((LEFT, 60), (RIGHT, 200))
    assert pixel_change(before, after, LEFT) == pytest.approx(10.0)
    assert pixel_change(before, before, LEFT) == 0.0
    assert pixel_change(before, after, (-30.0, 10.0, 50.0, 60.0)) == pytest.approx(8.0)
    assert pixel_change(np.zeros((5, 5, 3), np.uint8), np.ones((5, 5, 3), np.uint8), (9, 9, 20, 20)) == 0.0
