from pathlib import Path

import numpy as np
import pytest

from benchmarks.camera_clips import Clip, leave_looks
from benchmarks.shown_faces import changes, where
from cfanet.records import Box
from tests.cfanet.clips import Look, pan_looks, view, write_clip
from tests.cfanet.portraits import eileen_collins

BOX: Box = (100.0, 90.0, 130.0, 140.0)


@pytest.mark.parametrize(
    "look", [((125.0, 120.0), 240.0, 0.0), *pan_looks((110, 118), (2, 1), 10)[4:], ((140.0, 120.0), 118.0, -9.0)]
)
def test_a_box_is_where_the_camera_has_it(look: Look) -> None:
    image = np.zeros((250, 250, 3), np.uint8)
    image[90:140, 100:130] = 255
    y, x = np.nonzero(view(image, *look)[..., 0] > 127)
    x0, y0, x1, y1 = where(BOX, look)
    assert ((x0 + x1) / 2, (y0 + y1) / 2) == pytest.approx((x.mean() + 0.5, y.mean() + 0.5), abs=0.7)
    assert (x1 - x0) * (y1 - y0) == pytest.approx(len(x), rel=0.05)


def test_faces_count_by_what_of_them_is_in_the_frame_and_whether_it_changed(tmp_path: Path) -> None:
    image = np.ascontiguousarray(eileen_collins()[:250, 100:350])  # her face is about the middle
    clip = Clip("leave", "leave001.mp4", image, leave_looks(6.5))
    frames = [view(image, *look) for look in clip.looks]
    write_clip(tmp_path / "films" / clip.name, frames, sound=False)
    covered = [frame.copy() for frame in frames]
    for number, frame in enumerate(covered):  # the face, or what is beside it
        frame[:, slice(0, 180) if number < 6 else slice(180, 240)] = 128
    write_clip(tmp_path / "released" / clip.name, covered, sound=False)
    shares, change = zip(
        *changes(clip, [(85.0, 60.0, 165.0, 165.0)], tmp_path / "films", tmp_path / "released"), strict=True
    )
    assert len(shares) == 10 and shares[0] > 0.6 > shares[-1] > 0.2 and list(shares) == sorted(shares, reverse=True)
    assert [value < 4.0 for value in change] == [False] * 6 + [True] * 4
