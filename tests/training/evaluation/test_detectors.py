"""Detectors as they come find a real face, and nothing in coffee."""

import pytest

from cfanet.boxes import overlap
from cfanet.errors import ConfigError
from tests.cfanet.portraits import eileen_collins, no_face
from training.evaluation.detectors import load_detector


@pytest.mark.parametrize("name", ["mtcnn", "dlib-hog"])
def test_a_face_is_found_and_coffee_is_none(name: str) -> None:
    detect = load_detector(name)
    found = detect(eileen_collins())
    assert found and max(overlap(face.box, (170.0, 60.0, 280.0, 200.0)) for face in found) > 0.8
    assert not [face for face in detect(no_face()) if face.box[2] - face.box[0] > 80]
    assert all((face.landmarks is None) == (name != "mtcnn") for face in found)


def test_an_unknown_detector_is_refused() -> None:
    with pytest.raises(ConfigError, match="use one of mtcnn, dlib-hog, dlib-cnn"):
        load_detector("ssh")
