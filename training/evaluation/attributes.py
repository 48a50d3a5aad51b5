"""Figure F: what is kept: expression, head pose, skin tone and lighting, in all and by any label of the samples."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import numpy as np

from cfanet.errors import InputError
from cfanet.records import Box, ImageArray
from training.evaluation.bench import Bench, Request, Subject
from training.evaluation.cache import Cache, code_digest, key_of
from training.evaluation.document import Cell, Table
from training.evaluation.gaze import gaze
from training.evaluation.landmarks68 import (
    LEFT_EYE,
    LICENCE,
    RIGHT_EYE,
    cheeks,
    corner_lift,
    eye_opening,
    head_pose_deg,
    landmarks68,
    mouth_opening,
    smile,
)
from training.evaluation.quantities import correlation, mean
from training.evaluation.samples import Photo
from training.evaluation.skin import lightness, side_light, skin_tone_deg

ANGLES = ("yaw, degrees", "pitch, degrees", "roll, degrees")
_SIDED = ("yaw, degrees", "roll, degrees", "gaze (eye widths)", "side light (L*)")  # change their sign in a mirror


@dataclass(frozen=True)
class Kept:
    """The traits of one face before and after; NaN where a patch of skin lies outside the picture."""

    labels: Mapping[str, str]
    replaced: bool
    before: Mapping[str, float]
    after: Mapping[str, float]
    mirrored: Mapping[str, float]  # the original once more, seen in a mirror: how repeatable the measurement is


def evaluate_attributes(request: Request, group_by: Sequence[str]) -> tuple[Path, Path]:
    """Run the experiment and write attributes.json and attributes.md; `group_by` names fields of the samples' .json."""
    bench = Bench(request)
    samples = bench.chosen()
    for name in group_by:
        if not any(name in sample.labels for sample in samples):
            known = sorted({label for sample in samples for label in sample.labels})
            raise InputError(f"no sample has a label {name!r}: the samples' .json have {', '.join(known) or 'none'}")
    looks = bench.looks(samples)
    subjects = [Subject(s, looks[s.key]) for s in samples if looks[s.key].subject is not None]
    tables = []
    drawn: dict[str, np.ndarray] = {}
    for name, loop in bench.variants():
        faces = []
        for subject, photo, released in bench.release(bench.maker(loop, looks), subjects, name):
            box = subject.look.faces[subject.face].box
            again = bench.observer.again(released.photo, box)
            before = _kept(bench.cache, traits, photo, box)
            after = _kept(bench.cache, traits, released.photo, box if again is None else again.box)
            mirrored = _kept(bench.cache, mirror_traits, photo, box)
            faces.append(Kept(subject.sample.labels, released.replaced(subject.face), before, after, mirrored))
        conditions = bench.conditions(loop)
        traits_of = tuple(faces[0].before) if faces else ()
        tables.append(_table(f"Attributes: {name}", traits_of, [face for face in faces if face.replaced], conditions))
        for trait in traits_of:
            values = [(face.before[trait], face.after[trait]) for face in faces if face.replaced]
            drawn[f"{name}|{trait}"] = np.array(values).reshape(-1, 2)
        for label in group_by:
            for value in sorted({face.labels[label] for face in faces if label in face.labels}):
                group = [face for face in faces if face.replaced and face.labels.get(label) == value]
                tables.append(_table(f"Attributes: {name}, {label} = {value}", traits_of, group, conditions))
    notes = {
        "pictures without a subject": len(samples) - len(subjects),
        "landmarks": LICENCE,
    }
    return bench.write("attributes", tables, notes, drawn)


def traits(image: ImageArray, box: Box) -> dict[str, float]:
    """Every trait of the face in an MTCNN box; (H, W, 3) uint8 RGB."""
    points = landmarks68(image, box)
    found: dict[str, float | None] = {
        "mouth opening": mouth_opening(points),
        "eye opening": eye_opening(points),
        "smile (mouth width)": smile(points),
        "smile (corner lift)": corner_lift(points),
        **dict(zip(ANGLES, head_pose_deg(points), strict=True)),
        "gaze (eye widths)": gaze(image, (points[RIGHT_EYE], points[LEFT_EYE])),
        "skin tone (ITA), degrees": skin_tone_deg(image, cheeks(points)),
        "lightness (L*)": lightness(image, box),
        "side light (L*)": side_light(image, box),
    }
    return {name: math.nan if value is None else value for name, value in found.items()}


def mirror_traits(image: ImageArray, box: Box) -> dict[str, float]:
    """Every trait measured in the mirrored picture and turned back: equal to `traits` if measuring were perfect."""
    width = image.shape[1]
    found = traits(np.ascontiguousarray(image[:, ::-1]), (width - box[2], box[1], width - box[0], box[3]))
    return {name: -value if name in _SIDED else value for name, value in found.items()}


def _kept(
    cache: Cache, measure: Callable[[ImageArray, Box], dict[str, float]], photo: Photo, box: Box
) -> dict[str, float]:
    """What `measure` finds in a picture, looked at once."""
    key = key_of("traits", measure.__name__, _code(), photo.digest, json.dumps(box))
    value = cache.get(key)
    if value is None:
        value = json.dumps(measure(photo.picture.pixels, box)).encode()
        cache.put(key, value)
    found: dict[str, float] = json.loads(value)
    return found


@lru_cache(maxsize=1)
def _code() -> str:
    """SHA-256 of what a trait depends on besides the picture, hex."""
    here = Path(__file__)
    files = (here.with_name(f"{name}.py") for name in ("landmarks68", "gaze", "skin", "picture_quality"))
    return key_of(code_digest(here, *files), version("dlib-bin"))


def turn_deg(one: float, two: float) -> float:
    """Size of the difference of two angles, in [0, 180] degrees."""
    return abs((two - one + 180.0) % 360.0 - 180.0)


def _table(title: str, names: Sequence[str], faces: Sequence[Kept], conditions: str) -> Table:
    rows: list[list[Cell]] = []
    for name in names:
        rows_of = [(face.before[name], face.after[name], face.mirrored[name]) for face in faces]
        kept = [(a, b) for a, b, _ in rows_of if not math.isnan(a + b)]
        repeated = [(a, c) for a, _, c in rows_of if not math.isnan(a + c)]
        before, after = [a for a, _ in kept], [b for _, b in kept]
        floor = correlation([a for a, _ in repeated], [c for _, c in repeated])
        apart = [turn_deg(a, b) if name in ANGLES else abs(b - a) for a, b in kept]
        shift = mean([b - a for a, b in kept])
        rows.append([name, correlation(before, after), mean(apart), shift, floor])
    if names:
        pose = [max(turn_deg(face.before[angle], face.after[angle]) for angle in ANGLES) for face in faces]
        floor_pose = [max(turn_deg(face.before[angle], face.mirrored[angle]) for angle in ANGLES) for face in faces]
        rows.append(["largest of yaw, pitch, roll, degrees", "", mean(pose), "", mean(floor_pose)])
    return Table(
        title,
        f"{len(faces)} replaced faces. {LICENCE}; its square comes from the MTCNN box found in each picture (the "
        "original's, where the new face is not detected). Mouth and eye opening: aspect ratios; smile: width of the "
        "mouth and lift of its corners over the distance of the outer eye corners; pose: six points on a generic head; "
        "gaze: how far the dark of the irises lies off the middle of their eyes; skin tone: individual typology angle "
        "of both cheeks; lightness inside the box, right half minus left. Last column: the originals against their own "
        "mirror images, as well as these traits can be measured at all. Paper: pictures and a curve (Figure F). "
        f"{conditions}",
        (
            "trait",
            "correlation with the original",
            "mean absolute difference",
            "mean shift",
            "original against its mirror image",
        ),
        rows,
    )
