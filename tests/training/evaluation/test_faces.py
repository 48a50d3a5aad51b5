"""Faces are looked for once, and the subject is found again in its place."""

from pathlib import Path

import numpy as np

from cfanet.config import DetectorSettings
from cfanet.recognizers import DlibRecognizer
from cfanet.records import Detection, ImageArray
from tests.cfanet.tiny import FakeDetector, face_at
from tests.training.evaluation.shards import portrait_entries
from training.evaluation.cache import Cache
from training.evaluation.faces import Examiner
from training.evaluation.faces import face_at as face_in_place
from training.evaluation.public_domain import many_faces
from training.evaluation.samples import Photo


class FakeCountingDetector(FakeDetector):
    calls = 0

    def detect(self, image: ImageArray) -> list[Detection]:
        self.calls += image is not many_faces()  # by which the detector is named
        return super().detect(image)


def test_a_second_look_and_a_second_embedding_come_from_the_cache(tmp_path: Path) -> None:
    detector = FakeCountingDetector([face_at(20, 20, 60), face_at(128, 110, 90)])
    judge = DlibRecognizer()
    photo = Photo(portrait_entries()[0][1])
    first = Examiner(Cache(tmp_path / "c"), detector, DetectorSettings(), {"dlib": judge})
    look = first.look(photo)
    assert look.subject == 1 and look.main is not None
    row = first.embed("dlib", photo, look.main.landmarks)
    assert np.array_equal(row, judge.embed([photo.picture.pixels], [look.main.landmarks])[0])
    again = Examiner(Cache(tmp_path / "c"), detector, DetectorSettings(), {"dlib": judge}).look(photo)
    assert detector.calls == 1
    assert [f.box for f in again.faces] == [f.box for f in look.faces]
    assert np.array_equal(again.faces[1].landmarks, look.faces[1].landmarks)
    Examiner(Cache(tmp_path / "c"), detector, DetectorSettings(min_face_px=30), {}).look(photo)
    assert detector.calls == 2, "other settings are another question"


def test_an_unreadable_picture_is_a_failure_to_acquire_and_is_not_kept(tmp_path: Path) -> None:
    examiner = Examiner(Cache(tmp_path / "c"), FakeDetector([face_at(20, 20, 60)]), DetectorSettings(), {})
    look = examiner.look(Photo(b"no picture"))
    assert look.unreadable and look.subject is None and look.main is None


def test_the_face_in_a_place_is_neither_a_neighbour_nor_a_part() -> None:
    place = face_at(100, 100, 60).box
    nearly, nostril, neighbour = face_at(103, 99, 55), face_at(100, 100, 12), face_at(190, 100, 60)
    assert face_in_place((neighbour, nostril, nearly), place) is nearly
    assert face_in_place((neighbour, nostril), place) is None
