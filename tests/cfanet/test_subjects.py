import numpy as np

from cfanet.subjects import subjects_of
from cfanet.tracks import Placement, Track
from tests.cfanet.tiny import face_at


def track(index: int, frames: range, degrees: float | None) -> Track:
    looks = None if degrees is None else np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
    return Track(index, tuple(Placement(n, face_at(50, 50, 30), True) for n in frames), looks)


def test_tracks_that_look_alike_are_one_person() -> None:
    tracks = [track(0, range(5), 0), track(1, range(5), 90), track(2, range(9, 12), 10), track(3, range(20, 22), 95)]
    assert subjects_of(tracks, same=0.9) == {0: 0, 1: 1, 2: 0, 3: 1}
    assert subjects_of(tracks, same=0.999) == {0: 0, 1: 1, 2: 2, 3: 3}


def test_two_faces_at_once_are_two_people_however_alike() -> None:
    assert subjects_of([track(0, range(5), 0), track(1, range(4, 9), 0)], same=0.9) == {0: 0, 1: 1}
    third = track(2, range(20, 22), 0)
    found = subjects_of([track(0, range(5), 0), track(1, range(4, 9), 0), third], same=0.9)
    assert found[0] != found[1] and found[2] in (0, 1)


def test_without_looks_every_track_is_a_person() -> None:
    assert subjects_of([track(0, range(5), None), track(1, range(9, 12), None)], same=0.5) == {0: 0, 1: 1}
    assert subjects_of([], same=0.5) == {}
