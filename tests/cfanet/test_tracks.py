from collections.abc import Sequence

import numpy as np
import pytest

from cfanet.boxes import iou
from cfanet.config import VideoSettings
from cfanet.tracks import FrameFaces, Sighting, Track, Vector, scene_starts, smooth, track_faces
from tests.cfanet.tiny import face_at

SETTINGS = VideoSettings()
ANNA, BERTA = np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])
Seen = tuple[float, float, Vector | None]  # x, y, who


def frames(seen: Sequence[Sequence[Seen]], fps: float = 25.0, width: float = 40.0, cut: int = -1) -> list[FrameFaces]:
    """One FrameFaces for each list of faces, 400 × 300 pixels; from frame `cut` on the scene is another."""
    found = []
    for number, faces in enumerate(seen):
        sightings = tuple(Sighting(face_at(x, y, width), who) for x, y, who in faces)
        found.append(FrameFaces(number / fps, sightings, number == cut))
    return found


def tracked(found: Sequence[FrameFaces], **settings: float) -> list[Track]:
    return track_faces(found, SETTINGS.model_copy(update=settings), 0.5)


def numbers(track: Track, seen: bool | None = None) -> list[int]:
    return [p.frame for p in track.placements if seen is None or p.seen is seen]


def centres(track: Track) -> np.ndarray:
    return np.array([[(p.detection.box[0] + p.detection.box[2]) / 2, (p.detection.box[1] + p.detection.box[3]) / 2]
                     for p in track.placements])  # fmt: skip


def test_a_moving_face_is_one_track() -> None:
    (track,) = tracked(frames([[(100 + 5 * n, 100 + n, ANNA)] for n in range(20)]))
    assert numbers(track, seen=True) == list(range(20))


def test_missed_frames_are_filled_where_the_face_must_be() -> None:
    seen: list[list[Seen]] = [[(100 + 4 * n, 120, ANNA)] for n in range(20)]
    for n in (6, 7, 8, 13):
        seen[n] = []
    (track,) = tracked(frames(seen))
    assert numbers(track) == list(range(20)) and numbers(track, seen=False) == [6, 7, 8, 13]
    assert np.abs(centres(track)[:, 0] - (100 + 4 * np.arange(20))).max() < 0.5


def test_gaps_are_filled_by_time_not_by_count() -> None:
    """With a variable frame rate, the second of three frames may be shown just before the third."""
    times = (0.0, 0.09, 0.1)
    places: tuple[list[Seen], ...] = ([(100, 100, ANNA)], [], [(120, 100, ANNA)])
    found = [FrameFaces(t, f.sightings) for t, f in zip(times, frames(places), strict=True)]
    (track,) = tracked(found)
    assert centres(track)[1, 0] == pytest.approx(118.0, abs=0.5)


def test_a_face_unseen_for_too_long_is_another_track() -> None:
    seen: list[list[Seen]] = [[(100, 100, ANNA)]] + [[] for _ in range(30)] + [[(100, 100, ANNA)]]
    first, second = tracked(frames(seen), max_gap_s=1.0)
    assert numbers(first) == [0] and numbers(second) == [31]
    assert len(tracked(frames(seen), max_gap_s=2.0)) == 1


@pytest.mark.parametrize("hidden", [0, 3])
def test_two_faces_that_cross_keep_their_tracks(hidden: int) -> None:
    """Where they meet, one may hide the other; their looks tell them apart afterwards."""
    seen: list[list[Seen]] = []
    for n in range(31):
        anna, berta = (100 + 6 * n, 100, ANNA), (280 - 6 * n, 104, BERTA)
        seen.append([berta] if abs(n - 15) < hidden else [anna, berta])
    one, two = tracked(frames(seen))
    assert (
        numbers(one, seen=True) == [n for n in range(31) if hidden == 0 or abs(n - 15) >= hidden]
        or len(numbers(one, seen=True)) == 31
    )
    assert numbers(two)[0] == 0 and numbers(two)[-1] == 30
    left, right = (one, two) if centres(one)[0, 0] < 200 else (two, one)
    assert centres(left)[-1, 0] > 250 and centres(right)[-1, 0] < 130


def test_the_looks_of_a_stranger_end_a_track() -> None:
    seen: list[list[Seen]] = [[(100, 100, ANNA)]] * 5 + [[(118, 100, BERTA)]] * 5
    assert len(tracked(frames(seen))) == 2


def test_a_face_found_again_elsewhere_nearby_goes_on() -> None:
    seen: list[list[Seen]] = [[(100, 100, ANNA)]] * 5 + [[]] * 4 + [[(145, 100, ANNA)]] * 5
    (track,) = tracked(frames(seen))
    assert numbers(track) == list(range(14))


def test_without_looks_the_place_decides() -> None:
    assert len(tracked(frames([[(100 + n, 100, None)] for n in range(8)]))) == 1
    assert len(tracked(frames([[(100, 100, None)], [(200, 100, None)]]))) == 2


def test_a_track_does_not_go_on_in_another_scene() -> None:
    before, after = tracked(frames([[(100, 100, ANNA)]] * 5 + [[(100, 100, BERTA)]] * 5, cut=5))
    assert numbers(before) == list(range(5)) and numbers(after) == list(range(5, 10))
    seen: list[list[Seen]] = [[(100, 100, ANNA)]] * 5 + [[]] * 2 + [[(110, 100, ANNA)]] * 5
    assert len(tracked(frames(seen, cut=6))) == 2 and len(tracked(frames(seen))) == 1


def test_a_scene_in_which_a_face_goes_on_is_the_same_scene() -> None:
    """What moves in front of a plain background is all that a frame has in common with the one before."""
    seen: list[list[Seen]] = [[(100 + 3 * n, 100, ANNA)] for n in range(10)]
    (track,) = tracked(frames(seen, cut=5))
    assert numbers(track) == list(range(10))


def test_a_face_behind_another_is_not_filled_in() -> None:
    seen: list[list[Seen]] = [[(100, 100, ANNA)]] * 4 + [[(106, 102, BERTA)]] * 3 + [[(100, 100, ANNA)]] * 4
    anna, berta = tracked(frames(seen))
    assert numbers(anna) == [0, 1, 2, 3, 7, 8, 9, 10] and numbers(berta) == [4, 5, 6]


def test_no_sighting_is_left_out_whatever_is_found() -> None:
    random = np.random.default_rng(0)
    seen: list[list[Seen]] = [
        [(float(random.uniform(30, 370)), float(random.uniform(30, 270)), None) for _ in range(random.integers(0, 5))]
        for _ in range(40)
    ]
    found = frames(seen)
    placed = {n: [] for n in range(40)} if (tracks := tracked(found)) else {}
    for track in tracks:
        for p in track.placements:
            placed[p.frame].append(p.detection.box)
    sightings = [(n, s.detection.box) for n, f in enumerate(found) for s in f.sightings]
    assert len(sightings) > 50
    assert all(max(iou(box, other) for other in placed[n]) > 0.6 for n, box in sightings)


def test_smoothing_removes_jitter_and_does_not_lag() -> None:
    random = np.random.default_rng(1)
    times = np.cumsum(random.uniform(0.02, 0.06, 80))
    truth = np.stack([300 * times - 90 * times**2, 100 + 40 * np.sin(2 * times)], axis=1)
    noisy = truth + random.normal(0, 1.0, truth.shape)
    found = smooth(times, noisy, 0.08)
    error = found - truth
    assert np.sqrt((error**2).mean()) < 0.75 * np.sqrt(((noisy - truth) ** 2).mean())
    direction = np.gradient(truth, times, axis=0)
    along = (error * direction).sum(1) / np.linalg.norm(direction, axis=1)
    assert abs(along.mean()) < 0.1  # a filter that only looks back by 80 ms would lag 8 pixels or more
    assert np.allclose(smooth(times, truth[:, :1], 0.08), truth[:, :1], atol=1e-6)


def test_another_scene_begins_where_the_picture_changes_and_no_face_goes_on() -> None:
    anna, berta, gone = [(100.0, 100.0, ANNA)], [(250.0, 100.0, BERTA)], list[Seen]()
    for second, starts in ((berta, {4}), (gone, {4}), (anna, set[int]())):
        found = frames([anna] * 4 + [second] * 4, cut=4)
        assert scene_starts(found, tracked(found)) == starts
    still = frames([anna] * 4 + [berta] * 4)
    assert scene_starts(still, tracked(still)) == set()
    once_more = frames([anna] * 5 + [gone] * 3, cut=4)
    assert scene_starts(once_more, tracked(once_more)) == set()
    waiting = frames([anna] * 2 + [gone] * 4 + [berta] * 2, cut=4)
    assert scene_starts(waiting, tracked(waiting)) == {4}
