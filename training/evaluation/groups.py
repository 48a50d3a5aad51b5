"""Behaviour by groups of people: by skin tone and size, which every picture shows, and by any label of the samples."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from cfanet.boxes import overlap
from cfanet.errors import ConfigError, InputError
from cfanet.records import Box, Landmarks
from training.evaluation.bench import Bench, Request, Subject
from training.evaluation.detectors import load_detector
from training.evaluation.document import Cell, Table
from training.evaluation.picture_quality import SMALLEST_SIDE, inside, ssim
from training.evaluation.protocol import impostor_scores
from training.evaluation.quantities import Measured, NotMeasured, mean, plain, proportion
from training.evaluation.samples import Photo, Sample
from training.evaluation.skin import cheeks_of_five, skin_tone_deg

SKIN, SIZE = "skin tone (ITA)", "width of the face"
# Chardon et al. (1991), Del Bino et al. (2006): from which angle on, in degrees.
_TONES = (
    (-90.0, "dark"),
    (-30.0, "brown"),
    (10.0, "tan"),
    (28.0, "intermediate"),
    (41.0, "light"),
    (55.0, "very light"),
)
_WIDTHS_PX = (0.0, 64.0, 80.0, 96.0, math.inf)
_MANY = 8  # numbers with more different values than this are cut into quarters
_FMR = 1e-3
_FOUND = 0.5  # share of the smaller box in common
_NO_SKIN = "unknown: no cheek in the picture"
LIMITS = (
    "The individual typology angle is measured in the photograph: it follows light, exposure and make-up as well as "
    "skin, and is no statement about a person's origin. Names of groups are those of the literature on ITA. Labels are "
    "whatever the owner of the data wrote down. A group's interval speaks of these faces only."
)


@dataclass(frozen=True, eq=False)
class Result:
    """One face, before and after."""

    person: str
    groups: Mapping[str, str]  # by what is grouped
    replaced: bool
    similarity: Mapping[str, float]  # to its original, by judge
    before: Mapping[str, np.ndarray]  # (d,) unit-norm, by judge
    ssim: float  # inside the box; NaN where it is too small
    found: bool  # by a detector as it comes, in the released picture


def evaluate_groups(request: Request, group_by: Sequence[str]) -> tuple[Path, Path]:
    """Run the experiment and write groups.json and groups.md; `group_by` names fields of the samples' .json."""
    if not request.recognizers:
        raise ConfigError("no recognizer is named: give --recognizer dlib")
    bench = Bench(request)
    samples = spread(bench.samples, request.limit)
    labels = {field: label_groups(field, samples) for field in group_by}
    looks = bench.looks(samples)
    subjects = [Subject(sample, looks[sample.key]) for sample in samples if looks[sample.key].subject is not None]
    detect = load_detector("mtcnn", request.device)
    tables: list[Table] = []
    for name, loop in bench.variants():
        results = []
        for subject, photo, released in bench.release(bench.maker(loop, looks), subjects, name):
            face = subject.look.faces[subject.face]
            before = {judge: bench.examiner.embed(judge, photo, face.landmarks) for judge in bench.judges}
            after = {judge: bench.examiner.embed(judge, released.photo, face.landmarks) for judge in bench.judges}
            boxes = detect(released.photo.picture.pixels)
            results.append(
                Result(
                    subject.sample.identity,
                    {
                        SKIN: tone_of(photo, face.landmarks),
                        SIZE: _between(face.box[2] - face.box[0], _WIDTHS_PX, " px"),
                        **{field: groups[subject.sample.key] for field, groups in labels.items()},
                    },
                    released.replaced(subject.face),
                    {judge: float(before[judge].astype(np.float64) @ after[judge]) for judge in bench.judges},
                    before,
                    _likeness(photo, released.photo, face.box),
                    any(overlap(seen.box, face.box) >= _FOUND for seen in boxes),
                )
            )
        thresholds = {judge: bench.examiner.recognizers[judge].threshold(_FMR) for judge in bench.judges}
        tables += [_table(name, what, results, thresholds) for what in (SKIN, SIZE, *group_by)]
    notes = {
        "pictures used": len(samples),
        "pictures without a subject": len(samples) - len(subjects),
        "conditions": {name: bench.conditions(loop) for name, loop in bench.variants()},
        "limits": LIMITS,
    }
    return bench.write("groups", tables, notes)


def spread(samples: Sequence[Sample], limit: int | None) -> tuple[Sample, ...]:
    """`limit` samples at equal distances, or all: shards are sorted, and their first people are no fair choice."""
    if limit is None or limit >= len(samples):
        return tuple(samples)
    return tuple(samples[number * len(samples) // limit] for number in range(limit))


def label_groups(field: str, samples: Sequence[Sample]) -> dict[str, str]:
    """The group of each sample by its key; numbers with many values, as ages, are cut into quarters.

    InputError when no sample has the field.
    """
    values = {sample.key: sample.labels.get(field, "") for sample in samples}
    known = [value for value in values.values() if value]
    if not known:
        have = sorted({label for sample in samples for label in sample.labels})
        raise InputError(f"no sample has a label {field!r}: the samples' .json have {', '.join(have) or 'none'}")
    try:
        numbers = [float(value) for value in known]
    except ValueError:
        numbers = []
    if len(set(numbers)) <= _MANY:
        return {key: value or "unknown" for key, value in values.items()}
    edges = (-math.inf, *sorted(set(np.quantile(numbers, (0.25, 0.5, 0.75)).tolist())), math.inf)
    return {key: _between(float(value), edges, "") if value else "unknown" for key, value in values.items()}


def tone_of(photo: Photo, landmarks: Landmarks) -> str:
    """The name of a face's individual typology angle, and its bounds."""
    angle = skin_tone_deg(photo.picture.pixels, cheeks_of_five(landmarks))
    if angle is None:
        return _NO_SKIN
    position = max(n for n, (low, _) in enumerate(_TONES) if n == 0 or angle > low)
    low, name = _TONES[position]
    high = _TONES[position + 1][0] if position + 1 < len(_TONES) else None
    bounds = f"above {low:g}°" if high is None else f"to {high:g}°" if position == 0 else f"{low:g}° to {high:g}°"
    return f"{name} ({bounds})"


def _between(value: float, edges: Sequence[float], unit: str) -> str:
    """The half-open interval of `edges` that holds the value, in words."""
    low, high = next((low, high) for low, high in pairwise(edges) if value < high or math.isinf(high))
    if math.isinf(high):
        return f"{low:g}{unit} or more"
    return f"below {high:g}{unit}" if low in {0.0, -math.inf} else f"{low:g} to {high:g}{unit}"


def _likeness(original: Photo, released: Photo, box: Box) -> float:
    a, b = inside(original.picture.pixels, box), inside(released.picture.pixels, box)
    return ssim(a, b) if min(a.shape[:2]) >= SMALLEST_SIDE else math.nan


def _table(variant: str, what: str, results: Sequence[Result], thresholds: Mapping[str, float]) -> Table:
    names = _order(what, {result.groups[what] for result in results})
    groups = [("all", list(results))]
    groups += [(name, [result for result in results if result.groups[what] == name]) for name in names]
    judges = ", ".join(f"{name} {threshold:.4f}" for name, threshold in thresholds.items())
    columns = [f"{what}", "faces", "replaced", "SSIM", "still found"]
    for judge in thresholds:
        columns += [f"matched, {judge}", f"false matches of originals, {judge}"]
    return Table(
        f"{variant}, by {what}",
        "Replaced: share of the faces that got a new face; the others are obscured. All that follows is of replaced "
        "faces: SSIM inside the MTCNN box; still found by MTCNN as it comes, in the original's place; matched: "
        f"similarity to the own original at or above the threshold at FMR {_FMR:g} ({judges}), at the original's "
        "landmarks. Last: pairs of different people of the group, originals both, at or above that one threshold: "
        f"where it is above {_FMR:g}, a match says less; pairs share faces, so no interval is given.",
        tuple(columns),
        [_row(name, group, thresholds) for name, group in groups],
    )


def _row(name: str, group: Sequence[Result], thresholds: Mapping[str, float]) -> list[Cell]:
    replaced = [result for result in group if result.replaced]
    row: list[Cell] = [
        name,
        str(len(group)),
        proportion(len(replaced), len(group)),
        mean([result.ssim for result in replaced if not math.isnan(result.ssim)]),
        proportion(sum(result.found for result in replaced), len(replaced)),
    ]
    for judge, threshold in thresholds.items():
        matched = sum(result.similarity[judge] >= threshold for result in replaced)
        row += [proportion(matched, len(replaced)), _false_matches(group, judge, threshold)]
    return row


def _false_matches(group: Sequence[Result], judge: str, threshold: float) -> Measured | NotMeasured:
    if not group:
        return NotMeasured("no faces")
    rows = np.stack([result.before[judge] for result in group])
    scores = impostor_scores(rows, [result.person for result in group])
    if not len(scores):
        return NotMeasured("no two people with names")
    return plain(float((scores >= threshold).mean()), len(scores))


def _order(what: str, names: set[str]) -> list[str]:
    """Skin tones from dark to light, widths from small to large, anything else by name."""
    ranked = [name for _, name in _TONES]

    def place(name: str) -> tuple[float, str]:
        if what == SKIN:
            tone = name.partition(" (")[0]
            return (ranked.index(tone) if tone in ranked else len(ranked), name)
        numbers = [float(word) for word in name.split() if word.replace(".", "", 1).lstrip("-").isdecimal()]
        return (0.0 if name.startswith("below") else numbers[0] if numbers else math.inf, name)

    return sorted(names, key=place)
