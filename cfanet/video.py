"""Videos: one new identity for each track, tried on a few of its frames, judged again in every frame.

A frame in which the chosen identity does not pass moves on in the same direction, and is obscured when that does not
pass either: the face stays one and the same person wherever it can, and never becomes the original.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np

from cfanet.assigned import Assigned, Chosen, TrackAnonymizer
from cfanet.config import AnonymizeSettings
from cfanet.face import TOO_UNCERTAIN, unjudged
from cfanet.records import Box, Detection, ImageArray, ImageResult
from cfanet.tracks import Placement, Track
from cfanet.video_file import Frame

_AROUND = 1.0  # in sides of the face: what of a frame is kept for trying an identity on it


class VideoAnonymizer:
    """Chooses identities for tracks and puts them into frames. Frames are looked at one at a time."""

    def __init__(self, anonymizer: TrackAnonymizer, settings: AnonymizeSettings) -> None:
        """Use the parts of `anonymizer`, which holds the networks and the key."""
        self._anonymizer = anonymizer
        self._settings = settings

    def choose(
        self, name: str, tracks: Sequence[Track], subjects: Mapping[int, int], frames: Iterable[Frame]
    ) -> dict[int, Chosen]:
        """An identity for each track of the video `name`, by its index; tracks of one of `subjects` share theirs.

        `frames` are all frames, in order. Kept in memory: a window around the face, from a few frames of each person.
        """
        rest = iter(frames)
        first = next(rest)
        able, chosen = list[Track](), dict[int, Chosen]()
        for person in _people(tracks, subjects):
            judged, refusal = self._judged(person, *first.pixels.shape[:2])
            if refusal:
                chosen[person.index] = Chosen(self._anonymizer.seed_id(name, person.index), (), refusal)
            else:
                able.append(judged)
        wanted = _samples(able, self._settings.video.samples)
        left = Counter(subject for several in wanted.values() for subject in several)
        kept: dict[int, list[tuple[ImageArray, Detection]]] = defaultdict(list)
        for frame in chain([first], rest):
            for subject, placement in wanted.get(frame.number, {}).items():
                kept[subject].append(_window(frame.pixels, placement.detection))
                if len(kept[subject]) == left[subject]:
                    images, detections = zip(*kept.pop(subject), strict=True)
                    chosen[subject] = self._anonymizer.choose(images, detections, name, subject)
        return {track.index: chosen[subjects[track.index]] for track in tracks}

    def _judged(self, person: Track, height: int, width: int) -> tuple[Track, str]:
        """The sightings of a person in frames of this size that can be judged; why there is none to go by."""
        seen = [placement for placement in person.placements if placement.seen]
        if self._settings.method != "cfa":
            return replace(person, placements=tuple(seen)), ""
        boxes = [placement.detection.box for placement in seen]
        if np.median([box[2] - box[0] for box in boxes]) < self._settings.min_replace_px:
            return person, "too small to be judged"
        why_not = [unjudged(box, height, width, self._settings) for box in boxes]
        able = [placement for placement, why in zip(seen, why_not, strict=True) if not why]
        if not able:
            return person, "too much of it outside the picture to be judged"
        if np.median([placement.detection.score for placement in able]) < self._settings.min_replace_score:
            return person, TOO_UNCERTAIN
        return replace(person, placements=tuple(able)), ""

    def render(
        self,
        frame: Frame,
        name: str,
        placed: Mapping[int, Placement],
        chosen: Mapping[int, Chosen],
        hidden: Mapping[int, Detection],
    ) -> ImageResult:
        """One frame, done; `placed` are the faces in it by track, `hidden` what is obscured. Keys are face indices."""
        assigned = [
            chosen[index].assigned(index, placement.detection, name.rpartition(":")[0])
            for index, placement in sorted(placed.items())
        ]
        assigned += [Assigned(i, face, "", (), "seen only after encoding") for i, face in sorted(hidden.items())]
        result = self._anonymizer.run_assigned(frame.pixels, name, assigned)
        filled = {index for index, placement in placed.items() if not placement.seen}
        faces = tuple(
            replace(face, detail="; ".join(filter(None, ("between sightings", face.detail))))
            if face.face_index in filled
            else face
            for face in result.faces
        )
        return replace(result, faces=faces)


def by_frame(tracks: Iterable[Track]) -> dict[int, dict[int, Placement]]:
    """Frame number → track index → placement."""
    found: dict[int, dict[int, Placement]] = defaultdict(dict)
    for track in tracks:
        for placement in track.placements:
            found[placement.frame][track.index] = placement
    return dict(found)


def _people(tracks: Sequence[Track], subjects: Mapping[int, int]) -> list[Track]:
    """The tracks of each subject as one; no two of them are seen in the same frame."""
    together: dict[int, list[Placement]] = defaultdict(list)
    for track in tracks:
        together[subjects[track.index]] += track.placements
    return [Track(index, tuple(sorted(them, key=lambda p: p.frame))) for index, them in together.items()]


def _samples(tracks: Sequence[Track], count: int) -> dict[int, dict[int, Placement]]:
    """Of every track up to `count` placements, evenly spread from the first to the last; as `by_frame`."""

    def thinned(track: Track) -> Iterator[Placement]:
        length = len(track.placements)
        for position in sorted({round(p) for p in np.linspace(0, length - 1, min(count, length))}):
            yield track.placements[position]

    return by_frame(replace(track, placements=tuple(thinned(track))) for track in tracks)


def _window(image: ImageArray, detection: Detection) -> tuple[ImageArray, Detection]:
    """The part of a picture around a face, and the face in it."""
    x0, y0, x1, y1 = detection.box
    margin = _AROUND * max(x1 - x0, y1 - y0)
    height, width = image.shape[:2]
    left, right = (int(np.clip(v, 0, width)) for v in (x0 - margin, x1 + margin + 1))
    top, bottom = (int(np.clip(v, 0, height)) for v in (y0 - margin, y1 + margin + 1))
    box: Box = (x0 - left, y0 - top, x1 - left, y1 - top)
    landmarks = (detection.landmarks - np.array([left, top], np.float32)).astype(np.float32)
    return image[top:bottom, left:right].copy(), Detection(box, detection.score, landmarks)
