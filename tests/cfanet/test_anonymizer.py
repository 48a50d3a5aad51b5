from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch

from cfanet.anonymizer import Anonymizer, Parts
from cfanet.assigned import Assigned, Chosen
from cfanet.config import AnonymizeSettings
from cfanet.identity import IDENTITY_BRANCH, IdentityBranch
from cfanet.networks.generator import Generator
from cfanet.obscure import obscured_region
from cfanet.records import Detection, Excused, FaceDecision, FaceRecord, ImageArray, ImageStatus, Landmarks, Recognizer
from cfanet.search import References
from cfanet.seeds import SeedKey
from tests.cfanet.tiny import FakeDetector, FakeRecognizer, face_at, noise, tiny_generator

KEY = SeedKey(b"0123456789abcdef0123456789abcdef")
FACES = [face_at(60, 60, 50), face_at(150, 60, 40)]
ONE = {"loop": {"candidates": 1}}  # a new face at each attempt
PASS = {"loop": {"threshold": 0.99, "margin": 0.0}}  # random weights hardly move identity: let nearly all pass


def build(
    settings: Mapping[str, object] = PASS,
    recognizers: Mapping[str, Recognizer] | None = None,
    galleries: Mapping[str, References] | None = None,
    key: SeedKey = KEY,
    faces: list[Detection] | None = None,
) -> Anonymizer:
    generator = tiny_generator()
    loop = recognizers if recognizers is not None else {"identity-branch": IdentityBranch(generator)}
    detector = FakeDetector(FACES if faces is None else faces)
    parts = Parts(
        AnonymizeSettings.model_validate(settings),
        key,
        detector,
        generator,
        loop,
        {} if galleries is None else galleries,
    )
    return Anonymizer(parts)


def test_every_face_is_replaced_recorded_and_nothing_else_changes() -> None:
    image = noise(120, 200)
    (result,) = build().run([image], ["a"])
    assert result.status == ImageStatus.ANONYMIZED
    assert result.image is not None
    assert [face.decision for face in result.faces] == [FaceDecision.REPLACED] * 2
    for face in FACES:
        x, y = face.landmarks[2].astype(int)
        assert (result.image[y - 3 : y + 3, x - 3 : x + 3] != image[y - 3 : y + 3, x - 3 : x + 3]).mean() > 0.9
    assert np.array_equal(result.image[:8], image[:8])
    assert np.array_equal(result.image[:, -8:], image[:, -8:])


def test_a_result_does_not_depend_on_batch_neighbours_or_order() -> None:
    images, names = [noise(120, 200, seed) for seed in range(3)], ["a", "b", "c"]
    together = build().run(images, names)
    alone = [build().run([image], [name])[0] for image, name in zip(images, names, strict=True)]
    reverse = build().run(images[::-1], names[::-1])[::-1]
    for one, two, three in zip(together, alone, reverse, strict=True):
        assert one.image is not None
        assert two.image is not None
        assert three.image is not None
        assert np.array_equal(one.image, two.image)
        assert np.array_equal(one.image, three.image)
        assert one.faces == two.faces == three.faces


def test_the_same_key_repeats_and_another_key_gives_other_faces() -> None:
    image = noise(120, 200)
    first, again = build().run([image], ["a"])[0], build().run([image], ["a"])[0]
    other = build(key=SeedKey.random()).run([image], ["a"])[0]
    renamed = build().run([image], ["b"])[0]
    assert first.image is not None
    assert np.array_equal(first.image, again.image)
    assert not np.array_equal(first.image, other.image)
    assert not np.array_equal(first.image, renamed.image), "randomness depends on the picture's name"


def test_the_loop_goes_on_until_a_face_passes_and_says_how_it_went() -> None:
    recognizer = FakeRecognizer([0.9, 0.6, 0.2])
    (result,) = build(ONE, {"fake": recognizer}, faces=FACES[:1]).run([noise(120, 200)], ["a"])
    (face,) = result.faces
    assert (face.attempts, face.requested_angle_deg) == (
        3,
        AnonymizeSettings().angle_deg + 2 * AnonymizeSettings().loop.angle_step_deg,
    )
    (comparison,) = face.comparisons
    assert comparison.passed
    assert comparison.similarity == pytest.approx(0.2, abs=1e-6)
    assert comparison.angle_deg == pytest.approx(np.degrees(np.arccos(0.2)), abs=1e-3)


def test_the_faces_of_an_attempt_are_looked_at_before_another_one_goes_further() -> None:
    recognizer = FakeRecognizer([0.9, 0.6, 0.9, 0.2])
    (result,) = build({"loop": {"candidates": 3}}, {"fake": recognizer}, faces=FACES[:1]).run([noise(120, 200)], ["a"])
    (face,) = result.faces
    assert face.attempts == 2, "three that show the original, and the first of the next three does not"
    assert face.requested_angle_deg == AnonymizeSettings().angle_deg + AnonymizeSettings().loop.angle_step_deg


def test_of_several_new_faces_one_is_taken_that_changes_the_picture_less() -> None:
    def change(candidates: int) -> float:
        image, settings = noise(120, 200), {"loop": {"candidates": candidates}}
        (result,) = build(settings, {"fake": FakeRecognizer([0.0])}, faces=FACES[:1]).run([image], ["a"])
        assert result.image is not None
        return float(np.abs(result.image.astype(float) - image).mean())

    assert change(8) < change(1)


def test_new_faces_keep_away_from_a_gallery_that_is_filled_before_the_first_picture() -> None:
    """Workers learn the recognizers' names from the anonymizer and load the galleries then."""
    vectors = torch.nn.functional.normalize(torch.randn(200, 16, generator=torch.Generator().manual_seed(0)))
    people = References(tuple(f"p{n}" for n in range(200)), vectors.numpy())

    def made(draws: int, later: bool) -> ImageArray:
        galleries = {} if later else {IDENTITY_BRANCH: people}
        settings = {"loop": {"candidates": 1, "draws": draws}}
        anonymizer = build(settings, {"fake": FakeRecognizer([0.0])}, faces=FACES[:1], galleries=galleries)
        galleries[IDENTITY_BRANCH] = people
        (result,) = anonymizer.run([noise(120, 200)], ["a"])
        assert result.image is not None
        return result.image

    assert not np.array_equal(made(1, later=False), made(8, later=False))
    assert np.array_equal(made(8, later=True), made(8, later=False))


def test_the_margin_keeps_faces_clear_of_the_threshold() -> None:
    recognizer = FakeRecognizer([0.49, 0.3])
    (result,) = build(ONE, {"fake": recognizer}, faces=FACES[:1]).run([noise(120, 200)], ["a"])
    assert result.faces[0].attempts == 2, "0.49 is below 0.5, but not by the margin"


@pytest.fixture
def carrying(monkeypatch: pytest.MonkeyPatch) -> None:
    """A generator that gives the original itself at an angle of 0."""
    trained = tiny_generator()
    torch.manual_seed(0)
    network = Generator(replace(trained.network.config, detail=True)).eval().requires_grad_(False)
    monkeypatch.setattr("tests.cfanet.test_anonymizer.tiny_generator", lambda: replace(trained, network=network))


def _still(image: ImageArray, **loop: float) -> FaceDecision:
    settings = {"angle_deg": 0.0, "loop": {"angle_step_deg": 0.0, **loop}}
    (result,) = build(settings, {"fake": FakeRecognizer([0.0])}, faces=FACES[:1]).run([image], ["a"])
    return result.faces[0].decision


@pytest.mark.usefixtures("carrying")
def test_an_old_face_that_shows_through_does_not_pass_whatever_the_recognizers_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cfanet.loop_checks.clearly_changed", lambda *_: True)
    assert _still(noise(120, 200), soften_after=64) == FaceDecision.OBSCURED
    assert _still(noise(120, 200), max_structure=1.0) == FaceDecision.REPLACED, "it was the structure that refused"


@pytest.mark.usefixtures("carrying")
def test_a_face_whose_structure_stays_is_made_of_a_softened_look_at_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cfanet.loop_checks.clearly_changed", lambda *_: True)
    settings = {"angle_deg": 0.0, "loop": {"angle_step_deg": 0.0, "soften_after": 2}}
    image = noise(120, 200)
    several = {"fake": FakeRecognizer([0.0])}
    (result,) = build(settings, several, faces=FACES[:1]).run([image], ["a"])
    (face,) = result.faces
    assert (face.decision, face.attempts, face.detail) == (FaceDecision.REPLACED, 3, "made of a softened look")
    unchecked = {"loop": {"max_structure": 1.0}}
    (first,) = build(unchecked, {"fake": FakeRecognizer([0.0])}, faces=FACES[:1]).run([image], ["a"])
    assert (first.faces[0].decision, first.faces[0].detail) == (FaceDecision.REPLACED, ""), (
        "one that passes at once is sharp"
    )
    (both,) = build(settings, {"fake": FakeRecognizer([0.0])}, faces=FACES).run([image], ["a"])
    assert result.image is not None and both.image is not None
    assert both.faces[0] == face, "the other faces do not matter"


@pytest.mark.usefixtures("carrying")
def test_an_identity_for_pictures_that_show_structure_is_made_of_softened_looks_in_every_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cfanet.loop_checks.clearly_changed", lambda *_: True)
    settings = {"angle_deg": 0.0, "loop": {"angle_step_deg": 0.0, "soften_after": 2}}
    images = [noise(120, 200, seed) for seed in (0, 1)]
    chosen = build(settings, {"fake": FakeRecognizer([1.0, 0.0])}).choose(images, FACES[:1] * 2, "film", 0)
    assert chosen.softened and chosen.targets

    def frame(chosen: Chosen) -> FaceRecord:
        anonymizer = build(settings, {"fake": FakeRecognizer([0.0])})
        return anonymizer.run_assigned(images[1], "film:1", [chosen.assigned(0, FACES[0])]).faces[0]

    face = frame(chosen)
    assert (face.decision, face.attempts, face.detail) == (FaceDecision.REPLACED, 1, "made of a softened look")
    assert frame(replace(chosen, softened=False)).decision == FaceDecision.OBSCURED, "by the first attempt's look"


@pytest.mark.usefixtures("carrying")
def test_a_face_that_the_last_look_would_call_unchanged_does_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    flat = np.full((120, 200, 3), 90, np.uint8)  # shows no structure, and nothing is lost by resampling it
    assert _still(flat) == FaceDecision.OBSCURED
    monkeypatch.setattr("cfanet.loop_checks.clearly_changed", lambda *_: True)
    assert _still(flat) == FaceDecision.REPLACED, "it was the lack of change that refused"


class FakeByFace(FakeRecognizer):
    """Sees in each face what it was told for where the nose is: first the original, then the answers in turn."""

    def __init__(self, answers: Mapping[float, list[float]]) -> None:
        self._faces = {nose: FakeRecognizer(several) for nose, several in answers.items()}

    def embed(self, images: list[ImageArray], landmarks: list[Landmarks]) -> np.ndarray:
        rows = [self._faces[float(five[2, 0])].embed([i], [five])[0] for i, five in zip(images, landmarks, strict=True)]
        return np.array(rows)


def _across(second: Detection, *answers: float) -> tuple[ImageArray, FaceRecord, FaceRecord, ImageArray]:
    """A face that passes beside one that never does: the picture, both records, and the picture with the first alone.

    `answers`: what is seen of the second in the finished picture.
    """
    image, settings = noise(120, 200), {"loop": {"max_attempts": 1, "candidates": 1}, "obscurer": "mask"}
    first = face_at(60, 60, 50)
    seen = FakeByFace({60.0: [0.0], float(second.landmarks[2, 0]): [0.9, *answers]})
    (both,) = build(settings, {"fake": seen}, faces=[first, second]).run([image], ["a"])
    (alone,) = build(settings, {"fake": FakeByFace({60.0: [0.0]})}, faces=[first]).run([image], ["a"])
    assert both.image is not None and alone.image is not None
    assert both.status == ImageStatus.OBSCURED
    return both.image, both.faces[0], both.faces[1], alone.image


def test_a_cover_goes_under_a_new_face_and_hides_all_else() -> None:
    second = face_at(100, 60, 50)
    found, first, failed, alone = _across(second, 0.0)
    assert (first.decision, failed.decision) == (FaceDecision.REPLACED, FaceDecision.OBSCURED)
    inner = (slice(50, 70), slice(45, 75))  # of the first face, a part of it in the second's cover
    assert np.array_equal(found[inner], alone[inner])
    assert (found[40:80, 100:120] == 128).all(), "beyond the first face everything is covered"
    changed = (found != noise(120, 200)).any(-1)
    rows, columns = np.ogrid[:120, :200]
    assert changed[np.hypot(columns + 0.5 - 100, rows + 0.5 - 60) <= 25].all(), "nothing of the second one is left"


def test_a_face_whose_features_lie_under_a_new_one_needs_no_cover_of_its_own() -> None:
    within = face_at(63, 62, 34)
    found, _, hidden, alone = _across(within, 0.0)
    assert np.array_equal(found, alone)
    assert (hidden.decision, hidden.method) == (FaceDecision.OBSCURED, "cfa")
    assert hidden.detail == "did not pass the loop; lies under another new face"
    found, _, covered, alone = _across(within, 0.9, 0.9)
    columns, rows = within.landmarks.astype(int).T
    assert (found[rows, columns] == 128).all(), "seen, and seen again under the new face: covered"
    assert (covered.method, covered.detail) == ("mask", "did not pass the loop")


def test_a_face_that_the_detector_is_not_sure_of_is_obscured_and_never_tried() -> None:
    doubtful = face_at(150, 60, 40, score=0.98)
    (result,) = build(faces=[FACES[0], doubtful]).run([noise(120, 200)], ["a"])
    first, second = result.faces
    assert first.decision == FaceDecision.REPLACED
    assert (second.decision, second.attempts) == (FaceDecision.OBSCURED, 0)
    assert second.detail == "too uncertain to be judged"
    (result,) = build({**PASS, "min_replace_score": 0.9}, faces=[doubtful]).run([noise(120, 200)], ["a"])
    assert result.faces[0].decision == FaceDecision.REPLACED


@pytest.mark.parametrize("on_failure", ["obscure", "quarantine"])
def test_a_named_face_is_never_tried_and_leaves_the_others_what_they_were(on_failure: str) -> None:
    image = noise(120, 200)
    settings = {**PASS, "loop": {**PASS["loop"], "on_failure": on_failure}, "obscurer": "mask"}
    (before,), (after,) = (
        build(settings).run([image], ["a"], None, named) for named in (None, [{1: "named by a person"}])
    )
    first, second = after.faces
    assert (second.attempts, second.detail) == (0, "named by a person")
    if on_failure == "quarantine":
        assert after.image is None and second.decision == FaceDecision.WITHHELD
        return
    assert (first.decision, second.decision) == (FaceDecision.REPLACED, FaceDecision.OBSCURED)
    assert before.image is not None and after.image is not None
    left, top, right, bottom = (int(value) for value in first.box)
    assert np.array_equal(before.image[top:bottom, left:right], after.image[top:bottom, left:right])
    left, top, right, bottom = (int(value) for value in second.box)
    middle = np.s_[(top + bottom) // 2, (left + right) // 2]
    assert (after.image[middle] == 128).all() and not np.array_equal(before.image[middle], after.image[middle])


@pytest.mark.parametrize(("cut_off", "decision"), [(0.45, FaceDecision.OBSCURED), (0.35, FaceDecision.REPLACED)])
def test_a_face_that_the_border_cuts_is_obscured_and_never_tried(cut_off: float, decision: FaceDecision) -> None:
    cut = face_at(20 - 40 * cut_off, 60, 40)
    (result,) = build(faces=[cut]).run([noise(120, 200)], ["a"])
    (face,) = result.faces
    assert face.decision == decision
    assert (face.attempts == 0) == (face.detail == "too much of it outside the picture to be judged") == (cut_off > 0.4)
    (result,) = build({**PASS, "min_replace_inside": 0.5}, faces=[cut]).run([noise(120, 200)], ["a"])
    assert result.faces[0].decision == FaceDecision.REPLACED


def test_an_identity_that_was_chosen_is_not_given_to_a_face_that_the_border_cuts() -> None:
    anonymizer, image, cut = build(), noise(120, 200), face_at(0, 60, 40)
    targets = anonymizer.choose([image], FACES[:1], "film", 0).targets
    faces = [Assigned(0, FACES[1], "", targets), Assigned(1, cut, "", targets)]
    whole, half = anonymizer.run_assigned(image, "film", faces).faces
    assert whole.decision == FaceDecision.REPLACED
    assert (half.decision, half.attempts) == (FaceDecision.OBSCURED, 0)
    refused = anonymizer.choose([image], [cut], "film", 1)
    assert (refused.targets, refused.refusal) == ((), "too much of it outside the picture to be judged")


def test_where_no_identity_passes_in_any_picture_none_is_chosen() -> None:
    seen = build({"loop": {"max_attempts": 2, "candidates": 2}}, {"fake": FakeRecognizer([1.0, 0.9])})
    chosen = seen.choose([noise(120, 200, seed) for seed in (0, 1)], FACES[:1] * 2, "film", 0)
    assert (chosen.targets, chosen.refusal) == ((), "did not pass the loop in any sampled frame")


def test_landmarks_are_kept_in_pictures_and_in_frames() -> None:
    image = noise(120, 200)
    kept, left = (build({**PASS, "keep_landmarks": share}, faces=FACES[:1]) for share in (1.0, 0.0))

    def picture(anonymizer: Anonymizer) -> ImageArray | None:
        return anonymizer.run([image], ["a"])[0].image

    def frame(anonymizer: Anonymizer) -> ImageArray | None:
        targets = anonymizer.choose([image], FACES[:1], "film", 0).targets
        return anonymizer.run_assigned(image, "film", [Assigned(0, FACES[0], "", targets)]).image

    assert not np.array_equal(picture(kept), picture(left))
    assert not np.array_equal(frame(kept), frame(left))


@pytest.mark.parametrize("on_failure", ["obscure", "quarantine"])
def test_a_face_that_never_passes_is_never_passed_through(on_failure: str) -> None:
    image = noise(120, 200)
    settings = {"loop": {"on_failure": on_failure, "max_attempts": 3}, "obscurer": "mask"}
    (result,) = build(settings, {"fake": FakeRecognizer([0.9])}, faces=FACES[:1]).run([image], ["a"])
    (face,) = result.faces
    assert face.attempts == 3
    assert face.detail == "did not pass the loop"
    if on_failure == "quarantine":
        assert (result.status, result.image, face.decision) == (ImageStatus.QUARANTINED, None, FaceDecision.WITHHELD)
        return
    assert (result.status, face.decision, face.method) == (ImageStatus.OBSCURED, FaceDecision.OBSCURED, "mask")
    left, top, right, bottom = obscured_region(face.box, 200, 120)
    assert result.image is not None
    inner = (slice(top + 8, bottom - 8), slice(left + 8, right - 8))
    assert np.ptp(result.image[inner].astype(int), axis=(0, 1)).max() == 0, "one flat colour"


def test_a_new_face_like_someone_in_the_gallery_does_not_pass() -> None:
    gallery = References(("other#0",), np.array([[0.2, np.sqrt(1 - 0.04)]], dtype=np.float32))
    recognizer = FakeRecognizer([0.2, 0.2, -0.9])
    (result,) = build(ONE, {"fake": recognizer}, {"fake": gallery}, faces=FACES[:1]).run([noise(120, 200)], ["a"])
    (face,) = result.faces
    assert face.attempts == 3, "0.2 is far from the original, but is the gallery's person exactly"
    assert face.requested_angle_deg == AnonymizeSettings().angle_deg, (
        "another way, but no further: no original was seen"
    )
    assert {c.kind: c.reference_id for c in face.comparisons} == {"mated": "original", "gallery": "other#0"}


def test_landmarks_that_coincide_are_obscured() -> None:
    broken = Detection((40, 40, 80, 90), 0.9, np.full((5, 2), 60, np.float32))
    (result,) = build(faces=[broken]).run([noise(120, 200)], ["a"])
    assert (result.status, result.faces[0].detail) == (ImageStatus.OBSCURED, "no alignment")


def test_a_face_too_small_to_be_judged_is_obscured() -> None:
    image = noise(120, 200)
    (result,) = build({**PASS, "min_replace_px": 45}).run([image], ["a"])
    assert [(face.decision, face.detail) for face in result.faces] == [
        (FaceDecision.REPLACED, ""),
        (FaceDecision.OBSCURED, "too small to be judged"),
    ]


def test_a_picture_without_faces_is_returned_as_it_is() -> None:
    image = noise(60, 60)
    (result,) = build(faces=[]).run([image], ["a"])
    assert (result.status, result.faces) == (ImageStatus.NO_FACE, ())
    assert result.image is not None
    assert np.array_equal(result.image, image)
    assert result.image is not image


@pytest.mark.parametrize("method", ["blur", "pixelate", "mask", "inpaint"])
def test_the_classic_methods_obscure_every_face(method: str) -> None:
    image = noise(120, 200)
    (result,) = build({"method": method}).run([image], ["a"])
    assert result.status == ImageStatus.OBSCURED
    assert [face.method for face in result.faces] == [method] * 2
    assert result.image is not None
    assert not np.array_equal(result.image, image)


def test_the_check_sees_a_face_nobody_replaced_and_one_that_did_not_change() -> None:
    image = noise(120, 200)
    anonymizer = build()
    (result,) = anonymizer.run([image], ["a"])
    assert result.image is not None
    assert anonymizer.check_released(image, result.image, result) == []
    assert len(anonymizer.check_released(image, image, result)) == 2, "unchanged pixels"
    missing = build().run([image], ["a"], [FACES[:1]])[0]
    assert missing.image is not None
    (left,) = anonymizer.check_released(image, missing.image, missing)
    assert left.box == FACES[1].box


class FakeHidingDetector(FakeDetector):
    """Has one face more for those who ask for everything: one that a neighbour hides."""

    def detect_every(self, image: ImageArray, excused: Excused | None = None) -> list[Detection]:
        return [*self.faces, face_at(105, 60, 50), face_at(106, 61, 50)]


def test_the_check_sees_a_face_that_hides_behind_a_replaced_one_and_names_it_once() -> None:
    image = noise(120, 200)
    anonymizer = build()
    (result,) = anonymizer.run([image], ["a"])
    assert result.image is not None
    hiding = Anonymizer(replace(anonymizer._parts, detector=FakeHidingDetector(FACES)))
    (left,) = hiding.check_released(image, result.image, result)
    assert left.box == face_at(105, 60, 50).box


def test_known_detections_are_used_instead_of_the_detector() -> None:
    (result,) = build(faces=[]).run([noise(120, 200)], ["a"], [FACES])
    assert len(result.faces) == 2
