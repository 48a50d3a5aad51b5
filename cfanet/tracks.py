"""Tracks: which sightings of successive frames are one face, where it is while nobody sees it, and where it really is.

Everything is known before anything is replaced, so time has no direction here: gaps are filled from both sides, a
track begins before its first sighting and ends after its last, and smoothing looks as far ahead as back, without lag.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from cfanet.boxes import area, intersection, iou
from cfanet.config import VideoSettings
from cfanet.records import Box, Detection, Landmarks

Vector = npt.NDArray[np.floating]

_SAME_PLACE = 0.3  # overlap from which a sighting may continue a track
_SURE_PLACE = 0.7  # overlap from which it may even if it looks like somebody else (a turned head, a blurred frame)
_STRANGER = 0.1  # similarity below which it looks like somebody else
_APPEARANCE = 0.7  # weight of similarity beside overlap
_REACH = 1.5  # in widths of the face: how far off its place a face of the same looks may be, and again for each second
_LOOK_BACK = 5  # sightings from which the speed is taken
_MAX_SHIFT = 0.08  # in widths of the face: no landmark is moved further by smoothing
_HIDDEN = 0.5  # share of an unseen face that a seen one covers, from which it lies behind that one


@dataclass(frozen=True, eq=False)
class Sighting:
    """A face that a detector found."""

    detection: Detection
    identity: Vector | None = None  # (d,) unit-norm, of any one recognizer


@dataclass(frozen=True, eq=False)
class FrameFaces:
    """What is known about one frame."""

    time_s: float
    sightings: tuple[Sighting, ...]
    other_scene: bool = False  # whether another one seems to begin with it (cfanet/scenes.py)


@dataclass(frozen=True, eq=False)
class Placement:
    """A track's face in one frame."""

    frame: int
    detection: Detection  # smoothed
    seen: bool  # False: filled in


@dataclass(frozen=True, eq=False)
class Track:
    """One face through consecutive frames."""

    index: int  # in order of the first sighting
    placements: tuple[Placement, ...]  # in order of frames
    identity: Vector | None = None  # (d,) unit-norm: the mean of its sightings'


@dataclass(eq=False)
class _Growing:
    """A track while sightings are being added."""

    frames: list[int] = field(default_factory=list)
    sightings: list[Sighting] = field(default_factory=list)

    def add(self, frame: int, sighting: Sighting) -> None:
        self.frames.append(frame)
        self.sightings.append(sighting)


def track_faces(frames: Sequence[FrameFaces], settings: VideoSettings, same: float) -> list[Track]:
    """Join the sightings of all frames into tracks, each filled and smoothed; no sighting is left out.

    A gap is filled from its first to its last frame, except where another face was seen in the same place. `same` is
    the similarity from which two sightings are the same person wherever they are.
    """
    grown = _associate(frames, _cuts(frames), settings, same)
    taken: list[dict[int, Box]] = [{} for _ in frames]
    for index, track in enumerate(grown):
        for frame, sighting in zip(track.frames, track.sightings, strict=True):
            taken[frame][index] = sighting.detection.box
    times = np.array([frame.time_s for frame in frames])
    return [
        Track(index, _placements(index, track, (times, taken), settings), _mean_identity(track.sightings))
        for index, track in enumerate(grown)
    ]


def scene_starts(frames: Sequence[FrameFaces], tracks: Sequence[Track]) -> frozenset[int]:
    """Frames that begin another scene: the picture as a whole changes there, and none of its tracks goes on."""
    return frozenset(
        cut
        for cut in _cuts(frames)
        if not any(track.placements[0].frame < cut <= track.placements[-1].frame for track in tracks)
    )


def _mean_identity(sightings: Sequence[Sighting]) -> Vector | None:
    known = [sighting.identity for sighting in sightings if sighting.identity is not None]
    if not known:
        return None
    mean = np.stack(known).astype(np.float64).mean(0)
    return cast(Vector, mean / max(float(np.linalg.norm(mean)), 1e-12))


def _cuts(frames: Sequence[FrameFaces]) -> set[int]:
    """Frames that seem to begin another scene."""
    return {number for number, frame in enumerate(frames) if frame.other_scene}


def _associate(frames: Sequence[FrameFaces], cuts: set[int], settings: VideoSettings, same: float) -> list[_Growing]:
    """Frame by frame, the cheapest assignment of sightings to the tracks that may still be going on.

    Across a cut only what is in the same place and looks the same goes on; then it was no cut, and leaves `cuts`.
    """
    tracks: list[_Growing] = []
    going: list[_Growing] = []
    for number, frame in enumerate(frames):
        going = [t for t in going if frame.time_s - frames[t.frames[-1]].time_s <= settings.max_gap_s + 1e-9]
        cut = number in cuts
        costs = np.full((len(going), len(frame.sightings)), np.inf)
        for row, track in enumerate(going):
            expected = _expected(track, frames, frame.time_s)
            waited = frame.time_s - frames[track.frames[-1]].time_s
            for column, sighting in enumerate(frame.sightings):
                costs[row, column] = _cost(expected, track, sighting, waited, (same, cut))
        matched = _assign(costs)
        if cut and matched:
            cuts.discard(number)
        elif cut:
            going = []
        for column, sighting in enumerate(frame.sightings):
            if column in matched:
                going[matched[column]].add(number, sighting)
                continue
            started = _Growing([number], [sighting])
            tracks.append(started)
            going.append(started)
    return tracks


def _assign(costs: npt.NDArray[np.float64]) -> dict[int, int]:
    """Column → row of the cheapest assignment; pairs of infinite cost are never assigned."""
    if not costs.size:
        return {}
    finite = np.where(np.isfinite(costs), costs, 1e6)
    rows, columns = linear_sum_assignment(finite)
    return {int(c): int(r) for r, c in zip(rows, columns, strict=True) if np.isfinite(costs[r, c])}


def _expected(track: _Growing, frames: Sequence[FrameFaces], time_s: float) -> Box:
    """Where the last box would be now at the speed of the last sightings."""
    last = track.sightings[-1].detection.box
    known = slice(-_LOOK_BACK, None)
    times = np.array([frames[n].time_s for n in track.frames[known]])
    centres = np.array([_centre(s.detection.box) for s in track.sightings[known]])
    if len(times) < 2 or times[-1] - times[0] <= 0:
        return last
    speed = (centres[-1] - centres[0]) / (times[-1] - times[0])
    move = speed * min(time_s - times[-1], 0.5)  # nobody keeps a speed for long
    return last[0] + move[0], last[1] + move[1], last[2] + move[0], last[3] + move[1]


def _cost(expected: Box, track: _Growing, sighting: Sighting, waited: float, strict: tuple[float, bool]) -> float:
    """What it costs to continue a track with a sighting; infinite where it cannot. `strict` is (same, at a cut)."""
    same, cut = strict
    overlap = iou(expected, sighting.detection.box)
    alike = _likeness(track, sighting)
    surely = alike is not None and alike >= same
    cost = 1.0 - overlap + _APPEARANCE * (1.0 - (same if alike is None else alike))
    if overlap >= _SAME_PLACE and (alike is None or alike >= _STRANGER or overlap >= _SURE_PLACE):
        return cost if surely or not cut else math.inf
    width = max(expected[2] - expected[0], sighting.detection.box[2] - sighting.detection.box[0], 1.0)
    apart = math.dist(_centre(expected), _centre(sighting.detection.box)) / width
    reachable = apart <= _REACH * (1.0 + waited) and not cut
    return cost if surely and reachable else math.inf


def _likeness(track: _Growing, sighting: Sighting) -> float | None:
    """To the last sightings or to their mean, whichever is more: the very last may be half hidden."""
    recent = track.sightings[-_LOOK_BACK:]
    known = [s.identity for s in recent if s.identity is not None]
    mean = _mean_identity(recent)
    if sighting.identity is None or mean is None:
        return None
    return max(float(vector @ sighting.identity) for vector in (*known, mean))


def _placements(
    index: int, track: _Growing, scene: tuple[npt.NDArray[np.float64], list[dict[int, Box]]], settings: VideoSettings
) -> tuple[Placement, ...]:
    """Fill and smooth one track; `scene` is the time of every frame, and what was seen in it of every track."""
    times, taken = scene
    inside = np.arange(track.frames[0], track.frames[-1] + 1)
    values = np.array([_values(s.detection) for s in track.sightings])  # (n, 14): box and five points
    filled = np.stack([np.interp(times[inside], times[track.frames], column) for column in values.T], axis=1)
    furthest = _MAX_SHIFT * float(np.median(values[:, 2] - values[:, 0]))
    smoothed = smooth(times[inside], filled, settings.smooth_s)
    smoothed = filled + np.clip(smoothed - filled, -furthest, furthest)
    scores = dict(zip(track.frames, (s.detection.score for s in track.sightings), strict=True))
    placed = [
        Placement(int(n), _detection(row, scores.get(int(n), 0.0)), int(n) in scores)
        for n, row in zip(inside, smoothed, strict=True)
    ]
    return tuple(p for p in placed if p.seen or not hidden_by(p.detection.box, list(taken[p.frame].values())))


def hidden_by(box: Box, others: Sequence[Box]) -> bool:
    """Whether a face that nobody sees lies behind one that is seen: that one is what the picture shows there."""
    enough = _HIDDEN * max(area(box), 1e-9)
    return any(intersection(box, other) >= enough for other in others)


def smooth(times_s: Vector, values: Vector, width_s: float) -> npt.NDArray[np.float64]:
    """Local quadratic regression with Gaussian weights of `width_s`, both ways in time: (n, d) → (n, d), without lag.

    A parabola through time stays what it is, so moving faces are not held back. Times need not be even.
    """
    result = np.asarray(values, dtype=np.float64).copy()
    if width_s <= 0.0 or len(times_s) < 4:
        return result
    for row, now in enumerate(times_s):
        low, high = np.searchsorted(times_s, [now - 3 * width_s, now + 3 * width_s])
        if high - low < 4:
            continue
        apart = (np.asarray(times_s[low:high]) - now) / width_s
        weight = np.exp(-0.25 * apart**2)  # the square root of a Gaussian: least squares squares it
        design = np.stack([np.ones_like(apart), apart, apart**2], axis=1) * weight[:, None]
        result[row] = np.linalg.lstsq(design, values[low:high] * weight[:, None], rcond=None)[0][0]
    return result


def _centre(box: Box) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def _values(detection: Detection) -> npt.NDArray[np.float64]:
    return np.concatenate([np.array(detection.box), detection.landmarks.astype(np.float64).ravel()])


def _detection(values: npt.NDArray[np.float64], score: float) -> Detection:
    points: Landmarks = values[4:].reshape(5, 2).astype(np.float32)
    return Detection(cast(Box, tuple(float(v) for v in values[:4])), score, points)
