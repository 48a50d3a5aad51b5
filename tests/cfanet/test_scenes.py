from collections.abc import Sequence

import numpy as np
import pytest

from cfanet.records import ImageArray
from cfanet.scenes import SceneChanges
from tests.cfanet.clips import view
from tests.cfanet.portraits import eileen_collins, grace_hopper, no_face


def changes(frames: Sequence[ImageArray]) -> list[int]:
    scenes = SceneChanges()
    return [number for number, frame in enumerate(frames) if scenes.begins(frame)]


def test_another_picture_begins_another_scene() -> None:
    one, other, coffee = (view(image, (225, 120), 200) for image in (eileen_collins(), grace_hopper(), no_face()))
    assert changes([one, one, other, other, coffee, one]) == [2, 4, 5]


@pytest.mark.parametrize("across", [False, True])
def test_bars_that_stay_do_not_hide_a_cut(across: bool) -> None:
    frames = [view(image, (225, 120), 200) // 2 + 120 for image in (eileen_collins(), eileen_collins(), grace_hopper())]
    frames[1] = np.roll(frames[1], 8, axis=1)
    for frame in frames:
        for bar in (np.s_[:24], np.s_[-24:]):
            frame.swapaxes(0, int(across))[bar] = 0
    assert changes(frames) == [2]


def test_stripes_are_no_bars() -> None:
    stripes = np.repeat(np.arange(180, dtype=np.uint8)[:, None, None], 240, axis=1).repeat(3, axis=2)
    assert changes([stripes, np.roll(stripes, 9, axis=0), 180 - stripes]) == [2]


@pytest.mark.parametrize("share", [0.05, 0.1, 0.17, 0.24])
@pytest.mark.parametrize("direction", [(1, 0), (-1, 0), (0, 1), (0.7, -0.7)])
def test_a_camera_that_moves_fast_shows_the_same_scene(share: float, direction: tuple[float, float]) -> None:
    x, y = 200 * share * direction[0], 150 * share * direction[1]
    assert changes([view(eileen_collins(), (225 + n * x, 200 + n * y), 200) for n in range(3)]) == []


def test_light_blur_and_what_moves_in_front_change_no_scene() -> None:
    still = view(eileen_collins(), (225, 120), 200)
    dark, flash = (still * 0.4).astype(np.uint8), (still * 0.5 + 120).astype(np.uint8)
    blurred = np.mean([np.roll(still, n, axis=1) for n in range(-20, 20)], axis=0).astype(np.uint8)
    passing = still.copy()
    passing[:, 90:140] = 30
    for other in (dark, flash, blurred, passing):
        assert changes([still, other, still]) == []


def test_frames_without_contrast_say_nothing() -> None:
    black = np.zeros((180, 240, 3), np.uint8)
    still = view(eileen_collins(), (225, 120), 200)
    assert changes([black, black, still, still, black, still]) == []
