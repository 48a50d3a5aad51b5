from pathlib import Path

import numpy as np
import pytest

from audit.enrol import Enroller, Original, Pseudonyms
from tests.audit.fakes import FakeDetector, FakeRecognizer, picture

SMALL, LARGE = (10.0, 10.0, 40.0, 40.0), (80.0, 10.0, 160.0, 110.0)


def _original(key: str, label: str = "") -> Original:
    return Original(key, "0" * 64, picture((SMALL, 30), (LARGE, 90)), label)


def test_faces_are_embedded_and_the_label_goes_to_the_largest() -> None:
    recognizer, pseudonyms = FakeRecognizer(), Pseudonyms(b"k" * 32)
    (found,) = Enroller(FakeDetector(SMALL, LARGE), {"fake": recognizer}, pseudonyms).enrol([_original("a", "Ada")])
    assert [face.subject_id for face in found.faces] == ["", pseudonyms.of("Ada")]
    assert [face.reference_id for face in found.faces] == ["a#0", "a#1"]
    for face, grey in zip(found.faces, (30, 90), strict=True):
        np.testing.assert_array_equal(face.embeddings["fake"], recognizer.vector(grey))


def test_a_picture_without_faces_is_enrolled_as_such() -> None:
    (found,) = Enroller(FakeDetector(), {"fake": FakeRecognizer()}, Pseudonyms(b"k" * 32)).enrol([_original("a")])
    assert found.faces == ()


def test_pseudonyms_depend_on_the_key_and_tell_nothing() -> None:
    one, other = Pseudonyms(b"k" * 32), Pseudonyms(b"l" * 32)
    assert one.of("Ada") == one.of("Ada") != one.of("Bob")
    assert one.of("Ada") != other.of("Ada")
    assert "ada" not in one.of("Ada").lower()
    assert one.of("") == ""


def test_a_gallery_keeps_one_key(tmp_path: Path) -> None:
    first = Pseudonyms.of_gallery(tmp_path / "gallery").of("Ada")
    assert Pseudonyms.of_gallery(tmp_path / "gallery").of("Ada") == first
    assert Pseudonyms.of_gallery(tmp_path / "another").of("Ada") != first
    assert [path.name for path in (tmp_path / "gallery").iterdir()] == ["pseudonyms.key"]


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="16"):
        Pseudonyms(b"short")
