from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from cfanet.anonymizer import Anonymizer, Parts
from cfanet.assigned import Assigned, Chosen, Target
from cfanet.boxes import share_inside
from cfanet.config import AnonymizeSettings, LoopSettings, VideoSettings
from cfanet.identity import IDENTITY_BRANCH, IdentityBranch
from cfanet.records import Detection, FaceDecision, FaceRecord, ImageArray, ImageResult, ImageStatus
from cfanet.seeds import SeedKey
from cfanet.tracks import Placement, Track
from cfanet.video import VideoAnonymizer, by_frame
from cfanet.video_file import Frame
from tests.cfanet.tiny import FakeDetector, face_at, noise, tiny_generator

KEY = SeedKey(b"0123456789abcdef")
SETTINGS = AnonymizeSettings(min_replace_px=8.0)


OWN = {0: 0, 1: 1, 3: 3}  # every track is a person


def track(index: int, places: dict[int, tuple[float, float]], width: float = 40.0, unseen: Sequence[int] = ()) -> Track:
    placements = [Placement(n, face_at(x, y, width), n not in unseen) for n, (x, y) in sorted(places.items())]
    return Track(index, tuple(placements))


def clip(count: int) -> list[Frame]:
    return [Frame(n, n, n / 25, noise(100, 140, seed=n)) for n in range(count)]


class FakeAnonymizer:
    """Chooses an identity for whatever it is shown."""

    def __init__(self) -> None:
        self.asked: dict[int, list[tuple[ImageArray, Detection]]] = {}  # by track

    def choose(self, images: Sequence[ImageArray], detections: Sequence[Detection], name: str, index: int) -> Chosen:
        self.asked[index] = list(zip(images, detections, strict=True))
        return Chosen(self.seed_id(name, index), (Target(120.0, torch.zeros(1)),))

    def run_assigned(self, image: ImageArray, name: str, assigned: Sequence[Assigned]) -> ImageResult:
        records = []
        for one in assigned:
            decision = FaceDecision.REPLACED if one.targets else FaceDecision.OBSCURED
            box, seed_id = one.detection.box, one.seed_id
            records.append(
                FaceRecord(one.index, box, "", 0.0, "cfa", decision, 1, None, None, seed_id, (), one.refusal)
            )
        return ImageResult(name, ImageStatus.ANONYMIZED, "", image, tuple(records))

    def seed_id(self, name: str, index: int) -> str:
        return f"{name}/{index}"


def test_an_identity_is_tried_on_some_of_the_sightings() -> None:
    fake = FakeAnonymizer()
    places = dict.fromkeys(range(30), (60.0, 50.0))
    settings = SETTINGS.model_copy(update={"video": VideoSettings(samples=4)})
    chosen = VideoAnonymizer(fake, settings).choose("clip", [track(0, places)], OWN, clip(30))
    assert len(fake.asked[0]) == 4 and chosen[0].seed_id == "clip/0" and chosen[0].targets


def test_tracks_of_one_person_are_tried_together_and_share_an_identity() -> None:
    fake = FakeAnonymizer()
    one, two, other = (track(n, dict.fromkeys(range(10 * n, 10 * n + 10), (60.0, 50.0))) for n in range(3))
    chosen = VideoAnonymizer(fake, SETTINGS).choose("clip", [one, two, other], {0: 0, 1: 0, 2: 2}, clip(30))
    assert chosen[0] is chosen[1] and chosen[0].seed_id == "clip/0" and chosen[2].seed_id == "clip/2"


def test_a_track_that_is_mostly_too_small_is_not_tried() -> None:
    video = VideoAnonymizer(FakeAnonymizer(), AnonymizeSettings(min_replace_px=32.0))
    chosen = video.choose("clip", [track(0, {0: (60, 50)}, width=20), track(1, {0: (60, 50)}, width=40)], OWN, clip(1))
    assert chosen[0].refusal == "too small to be judged" and chosen[1].targets


def test_identities_are_tried_on_windows_of_sightings_only() -> None:
    fake = FakeAnonymizer()
    VideoAnonymizer(fake, SETTINGS).choose(
        "clip", [track(0, dict.fromkeys(range(5), (20, 50)), unseen=(0, 4))], OWN, clip(5)
    )
    assert len(fake.asked[0]) == 3
    assert all(image.shape[0] <= 100 and image.shape[1] < 140 for image, _ in fake.asked[0])


def test_identities_are_tried_only_where_the_face_can_be_judged() -> None:
    fake, places = FakeAnonymizer(), {n: (60.0 - 20 * n, 50.0) for n in range(4)}  # walks out at the left
    one, small = track(0, places), Placement(4, face_at(60, 50, 6.0), True)
    chosen = VideoAnonymizer(fake, SETTINGS).choose(
        "clip", [replace(one, placements=(*one.placements, small))], OWN, clip(5)
    )
    assert chosen[0].targets and len(fake.asked[0]) == 3
    assert all(share_inside(face.box, *image.shape[:2]) >= 0.6 for image, face in fake.asked[0])


@pytest.mark.parametrize(("scores", "sure"), [((0.6, 0.985, 0.995), False), ((0.6, 0.995, 0.992), True)])
def test_a_track_that_is_mostly_seen_with_doubt_is_obscured_and_says_why(scores: Sequence[float], sure: bool) -> None:
    fake, seen = FakeAnonymizer(), track(0, dict.fromkeys(range(3), (60.0, 50.0))).placements
    one = Track(
        0, tuple(replace(p, detection=replace(p.detection, score=s)) for p, s in zip(seen, scores, strict=True))
    )
    chosen = VideoAnonymizer(fake, SETTINGS).choose("clip", [one], OWN, clip(3))
    assert chosen[0].refusal == ("" if sure else "too uncertain to be judged")
    assert len(fake.asked.get(0, ())) == (3 if sure else 0)


def test_a_track_that_is_nowhere_seen_enough_is_obscured_and_says_why() -> None:
    fake = FakeAnonymizer()
    chosen = VideoAnonymizer(fake, SETTINGS).choose("clip", [track(0, {0: (0, 50), 1: (1, 50)})], OWN, clip(2))
    assert not fake.asked and not chosen[0].targets
    assert chosen[0].refusal == "too much of it outside the picture to be judged" and chosen[0].seed_id == "clip/0"


def test_filled_frames_and_hidden_faces_say_so_in_their_records() -> None:
    fake = FakeAnonymizer()
    one = track(0, {0: (60, 50), 1: (61, 50)}, unseen=(1,))
    video = VideoAnonymizer(fake, SETTINGS)
    chosen = video.choose("clip", [one], OWN, clip(2))
    placed = by_frame([one])
    first = video.render(clip(2)[0], "clip:0", placed[0], chosen, {})
    second = video.render(clip(2)[1], "clip:1", placed[1], chosen, {1: face_at(20, 20, 10)})
    assert [face.detail for face in first.faces] == [""]
    assert [(face.face_index, face.detail) for face in second.faces] == [
        (0, "between sightings"),
        (1, "seen only after encoding"),
    ]


@pytest.fixture
def anonymizer() -> Anonymizer:
    settings = SETTINGS.model_copy(update={"loop": LoopSettings(threshold=0.999, margin=0.0)})
    branch = {IDENTITY_BRANCH: IdentityBranch(tiny_generator())}
    return Anonymizer(Parts(settings, KEY, FakeDetector([]), tiny_generator(), branch, {}))


def test_every_frame_gets_the_same_identity_and_another_key_another(anonymizer: Anonymizer) -> None:
    one = track(3, {n: (60.0 + n, 50.0) for n in range(4)})
    found = [VideoAnonymizer(anonymizer, SETTINGS).choose("clip", [one], OWN, clip(4))[3] for _ in range(2)]
    assert torch.equal(found[0].targets[0].vector, found[1].targets[0].vector)
    other = VideoAnonymizer(anonymizer, SETTINGS).choose("other", [one], OWN, clip(4))[3]
    assert not torch.equal(found[0].targets[0].vector, other.targets[0].vector)
    angles = [target.angle_deg for target in found[0].targets]
    assert angles == sorted(set(angles)) and angles[0] == SETTINGS.angle_deg
    # Further away in the same direction: the vectors lie on one great circle.
    vectors = torch.stack([target.vector for target in found[0].targets]).double()
    assert torch.linalg.matrix_rank(vectors, atol=1e-5) == 2


def test_rendered_frames_are_changed_inside_the_face_only(anonymizer: Anonymizer) -> None:
    one = track(0, {0: (60, 50)})
    video = VideoAnonymizer(anonymizer, SETTINGS)
    (frame,) = clip(1)
    result = video.render(frame, "clip:0", by_frame([one])[0], video.choose("clip", [one], OWN, [frame]), {})
    assert result.image is not None and result.status is ImageStatus.ANONYMIZED
    changed = (result.image != frame.pixels).any(-1)
    assert changed[40:60, 50:70].mean() > 0.9 and not changed[:, 110:].any()


def test_a_face_without_an_identity_is_obscured(anonymizer: Anonymizer) -> None:
    placed = by_frame([track(0, {0: (60, 50)})])[0]
    (frame,) = clip(1)
    result = VideoAnonymizer(anonymizer, SETTINGS).render(frame, "clip:0", placed, {0: Chosen("s", (), "why")}, {})
    assert result.status is ImageStatus.OBSCURED and result.faces[0].detail == "why"
    assert result.image is not None and np.ptp(result.image[45:55, 55:65].astype(int)) < 30, "no noise is left of it"
