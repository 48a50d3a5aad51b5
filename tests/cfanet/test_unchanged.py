"""What is left of the original: also what the close look is spared must be what the slow way calls changed."""

from collections.abc import Sequence

import numpy as np
import pytest

from cfanet.config import DetectorSettings
from cfanet.detect import MTCNNDetector
from cfanet.records import Box, Detection, Excused, ImageArray
from cfanet.unchanged import _Change, _covered, clearly_changed, unchanged_faces
from tests.cfanet.portraits import side_by_side
from tests.cfanet.tiny import FakeDetector, face_at, noise


class FakeAskingDetector(FakeDetector):
    """Finds what it is told, except what is excused, and remembers what was."""

    def __init__(self, faces: Sequence[Detection]) -> None:
        super().__init__(faces)
        self.excused: list[bool] = []

    def detect_every(self, image: ImageArray, excused: Excused | None = None) -> list[Detection]:
        assert excused is not None
        self.excused = [bool(answer) for answer in excused(np.array([face.box for face in self.faces]))]
        return [face for face, gone in zip(self.faces, self.excused, strict=True) if not gone]


def _boxes(faces: Sequence[Detection]) -> list[Box]:
    return [face.box for face in faces]


def test_only_what_is_replaced_and_has_changed_is_spared_and_all_else_is_reported() -> None:
    original = noise(120, 200)
    faces = [face_at(20, 20, 40), face_at(100, 20, 40), face_at(150, 70, 30)]
    released = original.copy()
    released[20:60, 20:60] = 255 - released[20:60, 20:60]
    detector = FakeAskingDetector(faces)
    left = unchanged_faces(detector, original, released, _boxes(faces[:2]))
    assert detector.excused == [True, False, False]
    assert _boxes(left) == _boxes(faces[1:]), "replaced but unchanged; never replaced"


def test_change_inside_a_box_is_the_mean_over_its_pixels() -> None:
    original, released = noise(50, 70), noise(50, 70)[::-1]
    boxes = np.array(
        [[3.2, 4.9, 20.1, 30.0], [-5.0, -5.0, 10.0, 8.5], [60.0, 40.0, 90.0, 90.0], [70.0, 0.0, 80.0, 9.0]]
    )
    expected = []
    for x0, y0, x1, y1 in ((3, 4, 21, 30), (0, 0, 10, 9), (60, 40, 70, 50)):
        expected.append(np.abs(original[y0:y1, x0:x1].astype(float) - released[y0:y1, x0:x1]).mean())
    np.testing.assert_allclose(_Change(original, released).of(boxes), [*expected, 255.0])


def test_share_covered_is_that_of_the_best_replaced_box() -> None:
    boxes = np.array([[0.0, 0.0, 10.0, 10.0], [20.0, 20.0, 30.0, 30.0]])
    assert _covered(boxes, [(5.0, 0.0, 20.0, 10.0), (0.0, 0.0, 10.0, 2.0)]) == pytest.approx([0.5, 0.0])
    assert _covered(boxes, []).tolist() == [0.0, 0.0]


def test_of_a_face_at_the_border_what_lies_in_the_picture_must_be_covered_and_no_more() -> None:
    original, replaced = noise(120, 200), (0.0, 0.0, 40.0, 100.0)
    released = original.copy()
    released[:100, :40] = 255 - released[:100, :40]
    too_far_out, another = face_at(-10, 40, 100), face_at(20, 50, 200)
    assert _covered(np.array([too_far_out.box]), [replaced])[0] < 0.5, "of all of its box less than half is"
    detector = FakeAskingDetector([too_far_out, another])
    assert _boxes(unchanged_faces(detector, original, released, [replaced])) == [another.box]


def test_a_face_left_beside_a_replaced_one_is_seen_by_the_real_detector() -> None:
    detector, original = MTCNNDetector(DetectorSettings()), side_by_side()
    faces = [face for face in detector.detect(original) if face.score > 0.95]
    assert len(faces) == 2
    released = original.copy()
    for face in faces:
        x0, y0, x1, y1 = (round(max(v, 0)) for v in face.box)
        released[y0:y1, x0:x1] = 90
    assert not [f for f in unchanged_faces(detector, original, released, _boxes(faces)) if f.score > 0.95]
    for kept, gone in (faces, faces[::-1]):
        half = original.copy()
        x0, y0, x1, y1 = (round(max(v, 0)) for v in gone.box)
        half[y0:y1, x0:x1] = 90
        for replaced in (_boxes([gone]), _boxes(faces)):
            left = unchanged_faces(detector, original, half, replaced)
            assert any(abs(f.box[0] - kept.box[0]) < 5 and abs(f.box[1] - kept.box[1]) < 5 for f in left)


@pytest.mark.parametrize(("moving", "clear_from"), [(False, 4), (True, 5)])
def test_a_new_face_must_differ_by_more_than_the_last_look_asks_for(moving: bool, clear_from: int) -> None:
    original, box = np.full((100, 100, 3), 120, np.uint8), (20.0, 20.0, 60.0, 60.0)
    detector = FakeAskingDetector([face_at(40, 40, 40)])
    for levels in (0, 2, clear_from - 1, clear_from, 40):
        candidate = original.copy()
        candidate[20:60, 20:60] += np.uint8(levels)
        assert clearly_changed(original, candidate, box, moving) is (levels >= clear_from)
        assert bool(unchanged_faces(detector, original, candidate, [box], moving)) is (levels < clear_from)


@pytest.mark.parametrize(("moving", "enough"), [(False, 4.0), (True, 4.4)])
def test_how_much_more_it_must_differ_is_less_where_an_encoder_adds_to_it(moving: bool, enough: float) -> None:
    original, box = np.full((60, 60, 3), 120, np.uint8), (10.0, 10.0, 50.0, 50.0)
    for share in (-0.05, 0.05):
        candidate = original.copy()
        candidate[10:50, 10:50] += np.uint8(3)
        more = round((enough + share - 3) * 20)  # rows of 40, two grey levels more
        candidate[10 : 10 + more, 10:50] += np.uint8(2)
        assert clearly_changed(original, candidate, box, moving) is (share > 0)
