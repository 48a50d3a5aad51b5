"""New faces in pictures that show them larger than the generator makes them, with and without what is done for these.

    python -m benchmarks.large_faces CLOSE-UPS.tar [--every 16] [--limit 60] [--recognizer SPEC]

The largest face of each picture is replaced by the default generator with the loop, without a gallery. Printed too: why
others were not, how much of the replaced ones the border leaves, and how many pictures the last look would withhold.
"""

import argparse
from collections import Counter
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch

from benchmarks.tar_pictures import tar_pictures
from cfanet import enlarge
from cfanet.align import Matrix, crop_points, scale_of, similarity_transform, warp
from cfanet.anonymizer import Anonymizer, build_anonymizer
from cfanet.boxes import share_inside
from cfanet.colour import soft_colour
from cfanet.config import AnonymizeSettings
from cfanet.detect import MTCNNDetector
from cfanet.recognizers import load_recognizer
from cfanet.records import Detection, FaceDecision, FaceRecord, ImageArray
from cfanet.unchanged import unchanged_faces
from training.evaluation.anonymized import evaluation_key
from training.evaluation.picture_quality import gradient_magnitude, inside, ssim

_CROP_PX = 128  # the default generator's
_FMR = 1e-3
_NEVER = 1e9  # times the crop's size
_MERELY, _SHARP, _LIMITED = "merely enlarged", "as sharp and as grainy as the old face", "… and its colours limited"


@dataclass
class Seen:
    """What was measured of the faces that were replaced all ways."""

    sharpness: list[float] = field(default_factory=list)  # output / original, as in Table 3
    likeness: list[float] = field(default_factory=list)  # SSIM
    colour: list[float] = field(default_factory=list)  # levels that one pixel in a hundred is further off
    attempts: list[int] = field(default_factory=list)
    similarity: dict[str, list[float]] = field(default_factory=dict)  # to the original, by recognizer


def outcomes(
    ways: Mapping[str, Anonymizer], name: str, image: ImageArray, face: Detection
) -> dict[str, tuple[ImageArray | None, FaceRecord]]:
    """By way: the picture with a new face, None where it was not replaced, and what became of the face."""
    found = {}
    for way, anonymizer in ways.items():
        with patch.multiple(enlarge, _FROM=_NEVER, _WHOLE=2 * _NEVER) if way == _MERELY else nullcontext():
            result = anonymizer.run([image], [name], [[face]])[0]
        (of_face,) = result.faces
        found[way] = (result.image if of_face.decision == FaceDecision.REPLACED else None, of_face)
    return found


def colour_off(image: ImageArray, released: ImageArray, matrix: Matrix) -> float:
    """Levels of 255 that the colour of areas of an aligned face is off, exceeded by one pixel of it in a hundred."""
    both = torch.cat([warp(picture, matrix, (_CROP_PX, _CROP_PX)) for picture in (image, released)])
    before, after = soft_colour(both)
    edge = _CROP_PX // 8
    apart = (after - before).norm(dim=0)[edge:-edge, edge:-edge]
    return float(torch.quantile(apart, 0.99)) * 127.5


def main() -> None:
    """Measure all ways on the same faces and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="tar with .jpg close-ups")
    parser.add_argument("--every", type=int, default=16, help="take one picture of so many")
    parser.add_argument("--limit", type=int, default=60, help="faces at most")
    parser.add_argument("--recognizer", action="append", default=["dlib"], help="also this one")
    options = parser.parse_args()
    settings = AnonymizeSettings()
    detector = MTCNNDetector(settings.detector)
    any_colour = settings.model_copy(update={"max_colour_change": 255.0})
    kinds = {_MERELY: any_colour, _SHARP: any_colour, _LIMITED: settings}
    ways = {way: build_anonymizer(kind, evaluation_key(0), {}) for way, kind in kinds.items()}
    judges = {spec: load_recognizer(spec, "cpu") for spec in options.recognizer}
    all_seen = {way: Seen() for way in ways}
    scales: list[float] = []
    looked_at = 0
    why, shares, withheld = Counter[str](), [], 0
    for name, image in tar_pictures(options.source, options.every):
        if len(scales) == options.limit:
            break
        looked_at += 1
        face = max(detector.detect(image), key=lambda found: found.box[2] - found.box[0], default=None)
        if face is None:
            why["no face found"] += 1
            continue
        found = outcomes(ways, name, image, face)
        released = {way: picture for way, (picture, _) in found.items() if picture is not None}
        if len(released) < len(ways):
            why[next(record.detail for picture, record in reversed(found.values()) if picture is None)] += 1
            continue
        shares.append(share_inside(face.box, *image.shape[:2]))
        withheld += bool(unchanged_faces(detector, image, released[_LIMITED], [face.box]))
        matrix = similarity_transform(face.landmarks, crop_points(_CROP_PX))
        scales.append(1.0 / scale_of(matrix))
        before = inside(image, face.box)
        for way, seen in all_seen.items():
            after = inside(released[way], face.box)
            seen.sharpness.append(gradient_magnitude(after) / gradient_magnitude(before))
            seen.likeness.append(ssim(before, after))
            seen.colour.append(colour_off(image, released[way], matrix))
            seen.attempts.append(found[way][1].attempts)
            for spec, judge in judges.items():
                one, other = judge.embed([image, released[way]], [face.landmarks, face.landmarks])
                seen.similarity.setdefault(spec, []).append(float(one @ other))
    low, middle, high = np.quantile(scales, [0.0, 0.5, 1.0])
    print(f"{len(scales)} faces of {looked_at} pictures, {middle:.1f} ({low:.1f} to {high:.1f}) times the crop's size")
    for reason, count in why.most_common():
        print(f"not replaced: {count}, {reason}")
    print(f"with at least 0.8 of its box in the picture: {np.mean(np.array(shares) >= 0.8):.2f}; withheld: {withheld}")
    for way, seen in all_seen.items():
        low, high = np.quantile(seen.sharpness, [0.1, 0.9])
        print(
            f"{way}: sharpness {np.mean(seen.sharpness):.3f} (one in ten below {low:.2f}, above {high:.2f}), "
            f"SSIM {np.mean(seen.likeness):.4f}, colour off {np.mean(seen.colour):.1f} levels, "
            f"attempts {np.mean(seen.attempts):.2f}"
        )
        for spec, values in seen.similarity.items():
            matched = sum(value >= judges[spec].threshold(_FMR) for value in values)
            print(f"    {judges[spec].name}: similarity {np.mean(values):.4f}, matched at FMR 1e-3 {matched}")


if __name__ == "__main__":
    main()
