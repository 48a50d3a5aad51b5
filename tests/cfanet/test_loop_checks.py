import numpy as np
import pytest
import torch

from cfanet.align import crop_points, similarity_transform, warp
from cfanet.config import LoopSettings
from cfanet.face import Face
from cfanet.loop_checks import LoopChecks
from cfanet.paste import Patch
from cfanet.records import Recognizer
from cfanet.search import References
from tests.cfanet.tiny import FakeRecognizer, face_at, noise

IMAGE = noise(120, 200)
SIZE = 32


class Graded(FakeRecognizer):
    """Knows its thresholds at two rates."""

    def threshold(self, fmr: float) -> float:
        return {1e-2: 0.3, 1e-3: 0.5}[fmr]


def checks(recognizer: Recognizer, references: References | None = None, **loop: float) -> tuple[LoopChecks, Face]:
    """Checks that have seen the original of one face."""
    found = face_at(60, 60, 50)
    matrix = similarity_transform(found.landmarks, crop_points(SIZE))
    face = Face(0, 0, found, "", matrix=matrix, crop=warp(IMAGE, matrix, (SIZE, SIZE)))
    galleries = {} if references is None else {"fake": references}
    ready = LoopChecks(LoopSettings.model_validate(loop), {"fake": recognizer}, galleries)
    ready.look_at_originals([face], [IMAGE])
    return ready, face


def accepts(checks: LoopChecks, face: Face) -> bool:
    """Whether a new face without any structure of the old one is accepted."""
    assert face.matrix is not None
    rng = torch.Generator().manual_seed(0)
    return checks.accept(face, Patch(torch.rand(1, 3, SIZE, SIZE, generator=rng) * 2 - 1, face.matrix), IMAGE)


def test_the_original_is_judged_more_strictly_than_the_gallery() -> None:
    gallery = References(("other#0",), np.array([[1.0, 0.0]], dtype=np.float32))  # the original, at cosine 1
    ready, face = checks(Graded([0.4, 0.2]), gallery)
    assert not accepts(ready, face), "0.4 would do for anybody else"
    assert accepts(ready, face)
    assert {c.kind: c.threshold for c in face.comparisons} == {"mated": 0.3, "gallery": 0.5}
    assert accepts(*checks(Graded([0.4]), gallery, original_fmr=1e-3))


def test_one_threshold_for_all_takes_the_place_of_the_calibrated_ones() -> None:
    ready, face = checks(Graded([0.8]), threshold=0.9)
    assert accepts(ready, face)
    assert [c.threshold for c in face.comparisons] == [0.9]


@pytest.mark.parametrize(("similarity", "told"), [(0.27, False), (0.29, True)])
def test_a_covered_face_can_be_told_where_a_new_one_would_not_pass(similarity: float, told: bool) -> None:
    ready, face = checks(Graded([similarity]))
    assert ready.can_be_told(face, np.full_like(IMAGE, 128)) == told


def test_a_covered_face_whose_structure_shows_can_be_told() -> None:
    ready, face = checks(Graded([0.0]))
    assert ready.can_be_told(face, IMAGE)


def test_a_face_that_cannot_be_judged_counts_as_seen() -> None:
    ready, _ = checks(Graded([0.0]))
    assert ready.can_be_told(Face(0, 0, face_at(60, 60, 50), ""), np.full_like(IMAGE, 128))
