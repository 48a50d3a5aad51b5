import numpy as np
import pytest

from audit.config import AuditSettings
from audit.second_detector import BothDetectors, CnnDetector, HogDetector, NoSecondDetector, build_second_detector
from cfanet.boxes import iou
from tests.cfanet.portraits import profile


def _astronaut() -> np.ndarray:
    data = pytest.importorskip("skimage.data")
    return np.ascontiguousarray(data.astronaut()[..., :3])


def test_it_finds_a_real_face_where_it_is() -> None:
    image = _astronaut()
    (found,) = HogDetector(upsample=1).detect(image)
    assert iou(found.box, (170.0, 75.0, 270.0, 180.0)) > 0.5
    assert HogDetector(upsample=1).detect(np.zeros_like(image)) == []


def test_weak_evidence_counts_only_when_asked_for() -> None:
    image = _astronaut()
    assert len(HogDetector(min_score=0.0).detect(image)) > len(HogDetector().detect(image)) == 1


def test_a_large_picture_is_shrunk_and_boxes_are_scaled_back() -> None:
    image = _astronaut()
    (plain,) = HogDetector(upsample=1).detect(image)
    large = np.repeat(np.repeat(image, 2, axis=0), 2, axis=1)
    (found,) = HogDetector(upsample=1, max_side=512).detect(large)
    assert iou((found.box[0] / 2, found.box[1] / 2, found.box[2] / 2, found.box[3] / 2), plain.box) > 0.9


def test_a_profile_needs_the_network() -> None:
    image = profile()
    assert HogDetector().detect(image) == []
    (found,) = CnnDetector().detect(image)
    assert iou(found.box, (99.0, 118.0, 155.0, 198.0)) > 0.4  # MTCNN's box
    assert CnnDetector(min_score=1.5).detect(image) == []


def test_two_detectors_see_a_face_once() -> None:
    both = BothDetectors((HogDetector(), CnnDetector()))
    assert len(both.detect(_astronaut()[:256, 96:352])) == 1
    assert len(both.detect(profile())) == 1


def test_the_settings_choose() -> None:
    assert isinstance(build_second_detector(AuditSettings()), HogDetector)
    for name in ("dlib-cnn", "dlib-hog+cnn"):
        assert build_second_detector(AuditSettings(second_detector=name)).name == name
    none = build_second_detector(AuditSettings(second_detector="none"))
    assert isinstance(none, NoSecondDetector)
    assert none.detect(np.zeros((8, 8, 3), np.uint8)) == []
