import numpy as np
import pytest

from cfanet.config import DetectorSettings
from cfanet.detect import MTCNNDetector
from tests.cfanet.portraits import eileen_collins, grace_hopper, no_face, side_by_side


@pytest.fixture(scope="module")
def detector() -> MTCNNDetector:
    return MTCNNDetector(DetectorSettings())


def test_finds_every_face_and_its_landmarks(detector: MTCNNDetector) -> None:
    faces = [face for face in detector.detect(side_by_side()) if face.score > 0.95]
    assert len(faces) == 2
    for face in faces:
        assert face.landmarks.shape == (5, 2)
        inside = (face.landmarks[:, 0] > face.box[0]) & (face.landmarks[:, 0] < face.box[2])
        assert inside.all()
        assert face.landmarks[0, 0] < face.landmarks[1, 0], "the left eye comes first"


def test_finds_none_where_there_is_none(detector: MTCNNDetector) -> None:
    assert [face for face in detector.detect(no_face()) if face.score > 0.95] == []


def test_scores_descend(detector: MTCNNDetector) -> None:
    scores = [face.score for face in detector.detect(side_by_side())]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("shape", [(1, 1), (5, 300), (11, 11), (24, 24)])
def test_very_small_pictures_are_looked_at_not_refused(detector: MTCNNDetector, shape: tuple[int, int]) -> None:
    assert detector.detect(np.full((*shape, 3), 90, np.uint8)) == []


def test_a_face_of_fourteen_pixels_is_found(detector: MTCNNDetector) -> None:
    from PIL import Image

    small = np.asarray(Image.fromarray(eileen_collins()).resize((70, 70), Image.Resampling.LANCZOS))
    found = detector.detect(small)  # its face is about 14 px wide
    assert found
    assert found[0].box[2] - found[0].box[0] < 20


def test_a_face_cut_by_the_border_is_found(detector: MTCNNDetector) -> None:
    cut = grace_hopper()[:, 230:]  # a third of the face is gone
    assert detector.detect(cut)
