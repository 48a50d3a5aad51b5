"""A track before its first sighting and after its last: as long as the pixels of the face are still there.

Detectors lose a face that turns away, blurs or is covered in part, while people still know it. From one frame to the
next such a face keeps its pixels, wherever it moves, so they are looked for: each frame's patch in the frame beyond.
"""

from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from cfanet.boxes import share_inside
from cfanet.config import VideoSettings
from cfanet.correlation import Region, correlation
from cfanet.records import Box, Detection
from cfanet.tracks import Placement, Track, hidden_by
from cfanet.video_file import Frame

Grey = npt.NDArray[np.uint8]
"""(H, W) uint8."""
Seen = dict[int, dict[int, Box]]
"""Frame → track → box of what a detector saw."""

_SIDE = 32  # pixels across a patch when it is compared
_AROUND = 0.1  # of the box, on each side: what belongs to a patch
_OVERLAP = 0.4  # of the patch's pixels in the picture: how many of them must still be in the next one
_REACH = 0.5  # of the box: how far a face moves from one frame to the next
_SAME_PIXELS = 0.5  # correlation from which a patch is found again; unrelated pictures reach 0.46
_SAME_IN_ANOTHER_SCENE = 0.8  # the same where another scene seems to begin: other faces reach 0.64
_SHOWN_IN_ANOTHER_SCENE = 0.2  # share of a patch in the picture: a few pixels are like any others
_FLAT = 2.0  # grey levels: a patch with less contrast says nothing, and the face counts as still there in its scene
_INSIDE = 0.02  # share of the box from which a face counts as in the picture: boxes of cut faces are too large
_BUFFER_BYTES = 128 * 2**20  # of earlier frames, kept for tracks that have yet to begin


@dataclass(frozen=True, eq=False)
class _Grey:
    """A frame without its colours."""

    number: int
    time_s: float
    pixels: Grey


@dataclass(eq=False)
class _Trail:
    """A track that is being followed beyond its end."""

    index: int
    since_s: float  # when its end is
    last: Detection
    found: list[Placement]  # grows


def prolong(
    tracks: Sequence[Track], frames: Iterable[Frame], settings: VideoSettings, scenes: Collection[int] = ()
) -> list[Track]:
    """The tracks with the frames before and after them in which their faces still are, up to `lead_s` each.

    `frames` are all frames, in order; `lead_s` of them, grey, are in memory at a time. `scenes` are those that seem to
    begin another scene (`scene_starts`): over these goes on only what is hardly changed.
    """
    seen: Seen = defaultdict(dict)
    starting: dict[int, list[Track]] = defaultdict(list)
    ending: dict[int, list[Track]] = defaultdict(list)
    for track in tracks:
        starting[track.placements[0].frame].append(track)
        ending[track.placements[-1].frame].append(track)
        for placement in track.placements:
            if placement.seen:
                seen[placement.frame][track.index] = placement.detection.box
    added: dict[int, list[Placement]] = defaultdict(list)
    earlier: deque[_Grey] = deque()
    going: list[_Trail] = []
    for frame in frames:
        now = _Grey(frame.number, frame.time_s, np.asarray(Image.fromarray(frame.pixels).convert("L")))
        going = [trail for trail in going if _follow(trail, (earlier[-1], now), seen, settings.lead_s, scenes)]
        for track in starting[frame.number]:
            back, beside = _Trail(track.index, now.time_s, track.placements[0].detection, added[track.index]), now
            for before in reversed(earlier):
                if not _follow(back, (beside, before), seen, settings.lead_s, scenes):
                    break
                beside = before
        for track in ending[frame.number]:
            going.append(_Trail(track.index, now.time_s, track.placements[-1].detection, added[track.index]))
        earlier.append(now)
        while len(earlier) > 1 and _is_past(earlier, settings.lead_s):
            earlier.popleft()
    return [replace(track, placements=_sorted(track.placements, added[track.index])) for track in tracks]


def _is_past(earlier: "deque[_Grey]", lead_s: float) -> bool:
    """Whether the oldest frame can go."""
    oldest, newest = earlier[0], earlier[-1]
    return newest.time_s - oldest.time_s > lead_s or len(earlier) * newest.pixels.size > _BUFFER_BYTES


def _sorted(one: Sequence[Placement], two: Sequence[Placement]) -> tuple[Placement, ...]:
    return tuple(sorted((*one, *two), key=lambda placement: placement.frame))


def _follow(trail: _Trail, frames: tuple[_Grey, _Grey], seen: Seen, lead_s: float, scenes: Collection[int]) -> bool:
    """Look for the face of a trail in the next frame beyond; False when it is not there any more, or for too long."""
    here, there = frames
    if abs(there.time_s - trail.since_s) > lead_s + 1e-9:
        return False
    moved = step(here.pixels, there.pixels, trail.last, max(here.number, there.number) in scenes)
    if moved is None or share_inside(moved.box, *there.pixels.shape) < _INSIDE:
        return False
    if hidden_by(moved.box, [box for index, box in seen[there.number].items() if index != trail.index]):
        return False
    trail.last = moved
    trail.found.append(Placement(there.number, replace(moved, score=0.0), False))
    return True


def step(here: Grey, there: Grey, face: Detection, other_scene: bool = False) -> Detection | None:
    """Where the face of one picture is in the next, or None; (H, W) uint8 grey, of one size."""
    x0, y0, x1, y1 = face.box
    width, height = x1 - x0, y1 - y0
    margin_x, margin_y = _AROUND * width, _AROUND * height
    patch_box = (x0 - margin_x, y0 - margin_y, x1 + margin_x, y1 + margin_y)
    size = (_SIDE, max(8, round(_SIDE * height / max(width, 1.0))))
    patch = _cut(here, patch_box, size)
    shown = float(patch.known.mean())
    if other_scene and shown < _SHOWN_IN_ANOTHER_SCENE:
        return None
    if shown == 0.0 or patch.values[patch.known].std() < _FLAT:
        return None if other_scene else face
    reach_x, reach_y = round(_REACH * size[0]), round(_REACH * size[1])
    per_x, per_y = (width + 2 * margin_x) / size[0], (height + 2 * margin_y) / size[1]
    left, top = patch_box[0] - reach_x * per_x, patch_box[1] - reach_y * per_y
    beyond = (left, top, patch_box[2] + reach_x * per_x, patch_box[3] + reach_y * per_y)
    around = _cut(there, beyond, (size[0] + 2 * reach_x, size[1] + 2 * reach_y))
    likeness = correlation(around, patch, _OVERLAP)
    row, column = (int(place) for place in np.unravel_index(int(np.argmax(likeness)), likeness.shape))
    if likeness[row, column] < (_SAME_IN_ANOTHER_SCENE if other_scene else _SAME_PIXELS):
        return None
    down, right = row + _peak(likeness[:, column], row), column + _peak(likeness[row], column)
    shift = np.array([(right - reach_x) * per_x, (down - reach_y) * per_y])
    box = cast(Box, tuple(float(v) for v in np.array(face.box) + np.tile(shift, 2)))
    return Detection(box, face.score, (face.landmarks + shift).astype(np.float32))


def _peak(likeness: npt.NDArray[np.float64], place: int) -> float:
    """How far beyond its largest value, at `place`, a curve (n,) has its peak: that of the parabola there, or 0.

    Without it a face that moves by parts of a step would be lost little by little, as each frame adds its error.
    """
    if place in (0, len(likeness) - 1) or likeness[place - 1 : place + 2].min() <= -1.0:
        return 0.0
    before, at, after = likeness[place - 1 : place + 2]
    bend = before - 2.0 * at + after
    return float(0.5 * (before - after) / bend) if bend < 0.0 else 0.0


def _cut(grey: Grey, box: Box, size: tuple[int, int]) -> Region:
    """The region of a picture at `size` = (width, height)."""
    low, high = np.floor(box[:2]).astype(int), np.ceil(box[2:]).astype(int)
    height, width = grey.shape
    rows, columns = (np.arange(a, max(b, a + 1)) for a, b in zip(low[::-1], high[::-1], strict=True))
    region = Image.fromarray(grey[np.ix_(rows.clip(0, height - 1), columns.clip(0, width - 1))])
    inner = (box[0] - low[0], box[1] - low[1], box[2] - low[0], box[3] - low[1])
    values = np.asarray(region.resize(size, Image.Resampling.BILINEAR, inner), dtype=np.float64)
    x, y = (a + (np.arange(n) + 0.5) * (b - a) / n for a, b, n in zip(box[:2], box[2:], size, strict=True))
    return Region(values, ((y >= 0) & (y <= height))[:, None] & ((x >= 0) & (x <= width)))
