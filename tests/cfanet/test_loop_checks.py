from collections.abc import Mapping

import numpy as np
import pytest
import torch
from PIL import Image

from cfanet.align import crop_points, similarity_transform, warp
from cfanet.config import LoopSettings
from cfanet.errors import ConfigError
from cfanet.face import Face
from cfanet.identity import IdentityBranch
from cfanet.loop_checks import LoopChecks
from cfanet.paste import Patch, paste
from cfanet.recognizers import load_recognizer, threshold_at
from cfanet.records import Recognizer
from cfanet.search import References
from cfanet.structure import face_patch, patch_correlation, structure_correlation
from cfanet.weights import load_generator
from tests.cfanet.tiny import FakeRecognizer, face_at, noise

IMAGE = noise(120, 200)
SIZE = 32
MEASURED = {5e-2: 0.3, 1e-2: 0.4, 1e-3: 0.5}


class Graded(FakeRecognizer):
    """Knows its thresholds at some rates."""

    def __init__(self, similarities: list[float], thresholds: Mapping[float, float] = MEASURED) -> None:
        super().__init__(similarities)
        self._thresholds = thresholds

    def threshold(self, fmr: float) -> float:
        return threshold_at(self.name, self._thresholds, fmr)


def checks(recognizer: Recognizer, references: References | None = None, **loop: float) -> tuple[LoopChecks, Face]:
    """Checks that have seen the original of one face."""
    found = face_at(60, 60, 50)
    matrix = similarity_transform(found.landmarks, crop_points(SIZE))
    face = Face(0, 0, found, "", matrix=matrix, crop=warp(IMAGE, matrix, (SIZE, SIZE)))
    galleries = {} if references is None else {"fake": references}
    ready = LoopChecks(LoopSettings.model_validate(loop), {"fake": recognizer}, galleries)
    ready.look_at_originals([face], [IMAGE])
    return ready, face


def patch(face: Face, seed: int = 0, change: float = 1.0) -> Patch:
    """A new face without any structure of the old one, mixed with it: `change` of 1 is nothing but new."""
    assert face.matrix is not None and face.crop is not None
    new = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return Patch(face.crop.lerp(new, change), face.matrix)


def accepts(checks: LoopChecks, face: Face) -> bool:
    """Whether a new face without any structure of the old one is accepted."""
    return checks.choose(face, [patch(face)], IMAGE) is not None


def test_of_the_faces_that_pass_the_one_that_changes_least_is_taken() -> None:
    ready, face = checks(Graded([0.0]))
    several = [patch(face, 1, 0.9), patch(face, 2, 0.7), patch(face, 3, 1.0)]
    assert ready.choose(face, several, IMAGE) is several[1]
    ready, face = checks(Graded([0.9, 0.0]))
    assert ready.choose(face, several, IMAGE) is several[0], "the original was seen in the one that changed least"
    assert [c.similarity for c in face.comparisons] == [pytest.approx(0.0, abs=1e-6)]
    assert face.shown == 0, "one of them was far enough"


def test_an_attempt_shows_the_original_where_every_one_of_its_faces_does() -> None:
    gallery = References(("other#0",), np.array([[0.0, 1.0]], dtype=np.float32))
    ready, face = checks(Graded([0.9, 0.8, 0.9, 0.0]), gallery)
    assert ready.choose(face, [patch(face, 1), patch(face, 2)], IMAGE) is None
    assert (face.shown, face.structured) == (1, 0)
    assert ready.choose(face, [patch(face, 1), patch(face, 2)], IMAGE) is None
    assert (face.shown, face.structured) == (1, 0), "the last one is the gallery's person, but not the original"


def test_an_attempt_shows_structure_where_every_one_of_its_faces_does() -> None:
    ready, face = checks(Graded([0.0]))
    still = patch(face, 1, 0.0)
    assert ready.choose(face, [still, still], IMAGE) is None
    assert (face.shown, face.structured) == (1, 1)
    ready, face = checks(Graded([0.9]))
    assert ready.choose(face, [still, patch(face, 1)], IMAGE) is None
    assert (face.shown, face.structured) == (1, 0)


def test_structure_that_shows_only_through_the_middle_of_the_box_is_refused() -> None:
    """Audits look there; an aligned crop shows more, or less, of the same face."""
    before, new = (np.asarray(Image.fromarray(noise(40, 60, seed)).resize((300, 200), 3)) for seed in (0, 1))
    found = face_at(150, 100, 100)
    matrix = similarity_transform(found.landmarks, crop_points(128))
    x1, y1, x2, y2 = (round(edge) for edge in found.box)
    kept = np.full((200, 300, 1), 0.3)
    kept[y1 + 24 : y2 - 12, x1 + 20 : x2 - 20] = 0.9
    mixed = (kept * before + (1 - kept) * new).astype(np.uint8)
    patch = Patch(warp(mixed, matrix, (128, 128)), matrix)

    def accepted(limit: float) -> bool:
        face = Face(0, 0, found, "", matrix=matrix, crop=warp(before, matrix, (128, 128)))
        ready = LoopChecks(LoopSettings(max_structure=limit), {"fake": Graded([0.0])}, {})
        ready.look_at_originals([face], [before])
        return ready.choose(face, [patch], before) is patch

    aligned = structure_correlation(warp(before, matrix, (128, 128)), patch.crop)
    middles = face_patch(before, found.box), face_patch(paste(before, [patch]), found.box)
    shown = patch_correlation(*middles, x2 - x1)
    assert shown is not None and aligned + 0.02 < shown, (aligned, shown)
    assert not accepted((aligned + shown) / 2) and accepted(shown + 0.005)


def test_the_original_is_judged_more_strictly_than_the_gallery() -> None:
    gallery = References(("other#0",), np.array([[1.0, 0.0]], dtype=np.float32))  # the original, at cosine 1
    ready, face = checks(Graded([0.4, 0.2]), gallery, original_fmr=5e-2)
    assert not accepts(ready, face), "0.4 would do for anybody else"
    assert accepts(ready, face)
    assert {c.kind: c.threshold for c in face.comparisons} == {"mated": 0.3, "gallery": 0.5}
    assert accepts(*checks(Graded([0.4]), gallery, original_fmr=1e-3))


@pytest.mark.parametrize(
    ("thresholds", "loop", "limit"),
    [
        (MEASURED, {}, 0.4),
        (MEASURED, {"original_fmr": 5e-2}, 0.3),
        (MEASURED, {"original_fmr": 1e-2}, 0.4),
        ({1e-2: 0.4, 1e-3: 0.5}, {}, 0.4),
        ({1e-3: 0.5, 1e-4: 0.6}, {}, 0.5),
        ({1e-3: 0.5, 1e-4: 0.6}, {"fmr": 1e-4}, 0.5),
        ({2e-3: 0.45}, {"fmr": 2e-3}, 0.45),
        ({1e-1: 0.2, 1e-2: 0.4}, {"fmr": 1e-1}, 0.2),
        ({}, {"threshold": 0.7}, 0.7),
    ],
)
def test_the_limit_towards_the_original_is_the_loosest_that_is_known_or_the_one_asked_for(
    thresholds: dict[float, float], loop: dict[str, float], limit: float
) -> None:
    ready, face = checks(Graded([0.0], thresholds), **loop)
    assert accepts(ready, face)
    assert [c.threshold for c in face.comparisons] == [limit]


@pytest.mark.parametrize(
    ("thresholds", "loop", "limit"),
    [
        (MEASURED, {}, 0.5),
        (MEASURED | {1e-4: 0.6}, {}, 0.6),
        (MEASURED | {1e-4: 0.6}, {"gallery_fmr": 1e-2}, 0.4),
        (MEASURED | {1e-4: 0.6, 1e-5: 0.7}, {"fmr": 1e-5}, 0.7),
        (MEASURED, {"threshold": 0.65}, 0.65),
    ],
)
def test_the_gallery_s_limit_is_taken_at_a_rarer_rate_where_one_is_known(
    thresholds: dict[float, float], loop: dict[str, float], limit: float
) -> None:
    gallery = References(("other#0",), np.array([[1.0, 0.0]], dtype=np.float32))
    ready, face = checks(Graded([0.0], thresholds), gallery, **loop)
    assert accepts(ready, face)
    assert {c.kind: c.threshold for c in face.comparisons}["gallery"] == limit


@pytest.mark.parametrize(
    ("loop", "rate"),
    [
        ({"original_fmr": 5e-2}, "0.05"),
        ({"original_fmr": 2e-2}, "0.02"),
        ({"fmr": 1e-5}, "1e-05"),
        ({"gallery_fmr": 1e-5}, "1e-05"),
    ],
)
def test_a_rate_that_was_asked_for_and_never_measured_is_an_error(loop: dict[str, float], rate: str) -> None:
    with pytest.raises(ConfigError, match=f"no measured threshold at FMR {rate} "):
        checks(Graded([0.0], {1e-2: 0.4, 1e-3: 0.5}), **loop)


@pytest.mark.parametrize("name", ["identity-branch", "dlib"])
def test_the_defaults_suit_every_recognizer_that_comes_with_the_package(name: str) -> None:
    recognizer = IdentityBranch(load_generator("default")) if name == "identity-branch" else load_recognizer(name)
    LoopChecks(LoopSettings(), {name: recognizer}, {})


def test_one_threshold_for_all_takes_the_place_of_the_calibrated_ones() -> None:
    ready, face = checks(Graded([0.8]), threshold=0.9)
    assert accepts(ready, face)
    assert [c.threshold for c in face.comparisons] == [0.9]


@pytest.mark.parametrize(("similarity", "told"), [(0.37, False), (0.39, True)])
def test_a_covered_face_can_be_told_where_a_new_one_would_not_pass(similarity: float, told: bool) -> None:
    ready, face = checks(Graded([similarity]))
    assert ready.can_be_told(face, np.full_like(IMAGE, 128)) == told


def test_a_covered_face_whose_structure_shows_can_be_told() -> None:
    ready, face = checks(Graded([0.0]))
    assert ready.can_be_told(face, IMAGE)


def test_a_face_that_cannot_be_judged_counts_as_seen() -> None:
    ready, _ = checks(Graded([0.0]))
    assert ready.can_be_told(Face(0, 0, face_at(60, 60, 50), ""), np.full_like(IMAGE, 128))


def test_a_frame_of_a_video_must_change_more_than_a_picture() -> None:
    flat = np.full_like(IMAGE, 120)

    def least(moving: bool) -> float:
        """By how many grey levels a new face must differ; of a flat picture no structure can show."""
        for quarters in range(4, 80):
            ready, face = checks(Graded([0.0]))
            assert face.matrix is not None
            face.crop = warp(flat, face.matrix, (SIZE, SIZE))
            change = torch.full_like(face.crop, float(quarters // 4))
            change[:, :, : SIZE * (quarters % 4) // 4] += 1.0  # pixels are whole grey levels
            if ready.choose(face, [Patch(face.crop + change / 127.5, face.matrix)], flat, moving=moving):
                return quarters / 4
        raise AssertionError("no face passed")

    assert 4 <= least(moving=False) < least(moving=True)
