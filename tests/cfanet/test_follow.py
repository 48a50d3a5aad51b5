import numpy as np
import pytest

from cfanet.config import VideoSettings
from cfanet.follow import prolong, step
from cfanet.records import ImageArray
from cfanet.tracks import Placement, Track
from cfanet.video_file import Frame
from tests.cfanet.portraits import eileen_collins, grace_hopper, no_face
from tests.cfanet.tiny import face_at

FACE = face_at(225, 110, 90)  # Eileen Collins' in her picture


def clip(pictures: list[ImageArray], fps: float = 25.0) -> list[Frame]:
    return [Frame(n, n, n / fps, picture) for n, picture in enumerate(pictures)]


def moved(count: int, dx: int, dy: int = 0) -> list[ImageArray]:
    return [np.roll(eileen_collins(), (dy * n, dx * n), axis=(0, 1)) for n in range(count)]


def seen(frame: int, dx: float = 0.0, index: int = 0) -> Track:
    return Track(index, (Placement(frame, face_at(225 + dx, 110, 90), True),))


def numbers(track: Track) -> list[int]:
    return [placement.frame for placement in track.placements]


def test_a_face_is_followed_both_ways_while_it_moves() -> None:
    (track,) = prolong([seen(5, dx=40)], clip(moved(12, 8)), VideoSettings(lead_s=1.0))
    assert numbers(track) == list(range(12)) and [p.seen for p in track.placements].count(True) == 1
    for placement in track.placements:
        x0, _, x1, _ = placement.detection.box
        assert (x0 + x1) / 2 == pytest.approx(225 + 8 * placement.frame, abs=1), "errors do not add up"
        assert np.allclose(placement.detection.landmarks[:, 0].mean(), (x0 + x1) / 2, atol=3)


def test_a_face_is_followed_until_hardly_anything_of_it_is_left_in_the_picture() -> None:
    wide = eileen_collins()
    pictures = [np.ascontiguousarray(wide[17 * n : 17 * n + 256, 5 * n : 5 * n + 300]) for n in range(12)]
    for order in (1, -1):  # walking out, and in
        (track,) = prolong([seen(0 if order == 1 else 11)], clip(pictures[::order]), VideoSettings())
        assert sorted(range(12)[::order].index(number) for number in numbers(track)) == list(range(10))
        for placement in track.placements:
            where = np.array(face_at(225, 110, 90).box) - np.tile([5, 17], 2) * range(12)[::order][placement.frame]
            assert np.allclose(placement.detection.box, where, atol=3), "a border that stands still does not hold it"


def test_it_is_followed_no_longer_than_asked_for() -> None:
    (track,) = prolong([seen(10)], clip(moved(21, 0)), VideoSettings(lead_s=0.2))
    assert numbers(track) == list(range(5, 16))
    assert numbers(prolong([seen(10)], clip(moved(21, 0)), VideoSettings(lead_s=0.0))[0]) == [10]


def test_it_ends_at_a_cut_and_where_something_covers_it() -> None:
    other = np.asarray(grace_hopper()[:512, :512])
    coffee = np.resize(no_face()[:400, :512], (512, 512, 3))
    for beyond in (other, coffee):
        pictures = [beyond] * 3 + moved(3, 0) + [beyond] * 3
        (track,) = prolong([seen(4)], clip(pictures), VideoSettings())
        assert numbers(track) == [3, 4, 5]


def test_where_another_scene_begins_only_what_is_hardly_changed_goes_on() -> None:
    other = np.asarray(grace_hopper()[:512, :512]).astype(float)
    alike = (0.57 * eileen_collins() + 0.43 * other).astype(np.uint8)  # a correlation of 0.5 to 0.8 in its place
    flash = (0.4 * eileen_collins() + 150).astype(np.uint8)

    def followed(beyond: ImageArray, scenes: set[int]) -> list[int]:
        before, after = [eileen_collins()] * 3, [beyond] * 3
        (track,) = prolong([seen(1)], clip(before + after), VideoSettings(), scenes)
        (back,) = prolong([seen(4)], clip(after + before), VideoSettings(), scenes)
        assert numbers(back) == sorted(5 - number for number in numbers(track)), "the same in both directions"
        return numbers(track)

    assert followed(alike, set()) == followed(alike, {1, 2, 4, 5}) == [0, 1, 2, 3, 4, 5]
    assert followed(alike, {3}) == [0, 1, 2]
    assert followed(flash, {3}) == [0, 1, 2, 3, 4, 5]


def test_a_face_of_which_little_is_shown_does_not_go_on_in_another_scene() -> None:
    still = [np.ascontiguousarray(eileen_collins()[:, 260:511])] * 4  # a ninth of the face, at the left
    for scenes, expected in ((set[int](), [0, 1, 2, 3]), ({2}, [0, 1])):
        (track,) = prolong([seen(0, dx=-260)], clip(still), VideoSettings(), scenes)
        assert numbers(track) == expected


def test_a_flat_face_is_taken_to_be_still_there_in_its_scene_only() -> None:
    plain = np.full((512, 512, 3), 90, np.uint8)
    for scenes, expected in ((set[int](), 6), ({3}, 3)):
        (track,) = prolong([seen(1)], clip([plain] * 6), VideoSettings(), scenes)
        assert len(numbers(track)) == expected


def test_it_ends_where_the_face_leaves_the_picture_and_where_another_is_seen() -> None:
    plain = np.full((240, 520, 3), 90, np.uint8)
    pictures = []
    for n in range(12):
        picture = plain.copy()
        shown = eileen_collins()[:200, 150 : 150 + max(0, min(160, 520 - 330 - 20 * n))]
        picture[:200, 330 + 20 * n : 330 + 20 * n + shown.shape[1]] = shown
        pictures.append(picture)
    (track,) = prolong([seen(0, dx=180)], clip(pictures), VideoSettings())
    assert 4 <= len(numbers(track)) < 11
    still = clip(moved(6, 0))
    one, two = prolong([seen(0), seen(3, index=1)], still, VideoSettings())
    assert numbers(one) == [0, 1, 2] and numbers(two) == [1, 2, 3, 4, 5]


def test_a_blurred_and_darkened_face_is_found_again() -> None:
    grey = eileen_collins().mean(axis=2).astype(np.uint8)
    dark = (np.roll(grey, (6, -12), axis=(0, 1)) * 0.5).astype(np.uint8)
    blurred = ((dark.astype(int) + np.roll(dark, 6, axis=1) + np.roll(dark, -6, axis=1)) // 3).astype(np.uint8)
    found = step(grey, blurred, FACE)
    assert found is not None and found.box[0] == pytest.approx(FACE.box[0] - 12, abs=5)


def test_a_face_without_contrast_counts_as_still_there() -> None:
    flat = np.full((200, 400), 80, np.uint8)
    assert step(flat, np.random.default_rng(0).integers(0, 255, (200, 400)).astype(np.uint8), FACE) is FACE
