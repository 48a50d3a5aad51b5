"""New faces in pictures that show them larger than the generator makes them: as sharp as the old, or merely enlarged.

    python -m benchmarks.large_faces CLOSE-UPS.tar [--every 16] [--limit 60] [--border 50] [--recognizer SPEC]

Close-ups cut a face at the border, and such faces are not replaced: `--border` repeats their outermost pixels. The
largest face of each picture is replaced by the default generator with the loop, without a gallery.
"""

import argparse
import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from unittest.mock import patch

import numpy as np
from PIL import Image

from cfanet import enlarge
from cfanet.align import crop_points, scale_of, similarity_transform
from cfanet.anonymizer import Anonymizer, build_anonymizer
from cfanet.config import AnonymizeSettings
from cfanet.detect import MTCNNDetector
from cfanet.recognizers import load_recognizer
from cfanet.records import Detection, FaceDecision, ImageArray
from training.evaluation.anonymized import evaluation_key
from training.evaluation.picture_quality import gradient_magnitude, inside, ssim

_CROP_PX = 128  # the default generator's
_FMR = 1e-3
_NEVER = 1e9  # times the crop's size


@dataclass
class Seen:
    """What was measured of the faces that were replaced both ways."""

    sharpness: list[float] = field(default_factory=list)  # output / original, as in Table 3
    likeness: list[float] = field(default_factory=list)  # SSIM
    attempts: list[int] = field(default_factory=list)
    similarity: dict[str, list[float]] = field(default_factory=dict)  # to the original, by recognizer


def close_ups(file: Path, every: int, border: int) -> Iterator[tuple[str, ImageArray]]:
    """(name, pixels) of each `every`-th JPEG of a tar, with its border repeated."""
    with tarfile.open(file) as tar:
        for member in islice((entry for entry in tar if entry.name.endswith(".jpg")), 0, None, every):
            data = tar.extractfile(member)
            assert data is not None
            pixels = np.array(Image.open(io.BytesIO(data.read())).convert("RGB"))
            yield member.name, np.pad(pixels, ((border, border), (border, border), (0, 0)), mode="edge")


def replaced(anonymizer: Anonymizer, name: str, image: ImageArray, face: Detection) -> tuple[ImageArray, int] | None:
    """The picture with a new face, and the attempts it took; None where none passed."""
    result = anonymizer.run([image], [name], [[face]])[0]
    if result.image is None or result.faces[0].decision != FaceDecision.REPLACED:
        return None
    return result.image, result.faces[0].attempts


def main() -> None:
    """Measure both ways on the same faces and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="tar with .jpg close-ups")
    parser.add_argument("--every", type=int, default=16, help="take one picture of so many")
    parser.add_argument("--limit", type=int, default=60, help="faces at most")
    parser.add_argument("--border", type=int, default=50, help="pixels added on every side")
    parser.add_argument("--recognizer", action="append", default=["dlib"], help="also this one")
    options = parser.parse_args()
    settings = AnonymizeSettings()
    detector = MTCNNDetector(settings.detector)
    anonymizer = build_anonymizer(settings, evaluation_key(0), {})
    judges = {spec: load_recognizer(spec, "cpu") for spec in options.recognizer}
    both = {"merely enlarged": Seen(), "as sharp and as grainy as the old face": Seen()}
    scales: list[float] = []
    looked_at = 0
    for name, image in close_ups(options.source, options.every, options.border):
        if len(scales) == options.limit:
            break
        looked_at += 1
        faces = detector.detect(image)
        if not faces:
            continue
        face = max(faces, key=lambda found: found.box[2] - found.box[0])
        with patch.multiple(enlarge, _FROM=_NEVER, _WHOLE=2 * _NEVER):
            merely = replaced(anonymizer, name, image, face)
        raised = replaced(anonymizer, name, image, face)
        if merely is None or raised is None:
            continue
        matrix = similarity_transform(face.landmarks, crop_points(_CROP_PX))
        scales.append(1.0 / scale_of(matrix))
        before = inside(image, face.box)
        for seen, (released, attempts) in zip(both.values(), (merely, raised), strict=True):
            after = inside(released, face.box)
            seen.sharpness.append(gradient_magnitude(after) / gradient_magnitude(before))
            seen.likeness.append(ssim(before, after))
            seen.attempts.append(attempts)
            for spec, judge in judges.items():
                one, other = judge.embed([image, released], [face.landmarks, face.landmarks])
                seen.similarity.setdefault(spec, []).append(float(one @ other))
    low, middle, high = np.quantile(scales, [0.0, 0.5, 1.0])
    print(f"{len(scales)} faces of {looked_at} pictures, {middle:.1f} ({low:.1f} to {high:.1f}) times the crop's size")
    for way, seen in both.items():
        low, high = np.quantile(seen.sharpness, [0.1, 0.9])
        print(
            f"{way}: sharpness {np.mean(seen.sharpness):.3f} (one in ten below {low:.2f}, above {high:.2f}), "
            f"SSIM {np.mean(seen.likeness):.4f}, attempts {np.mean(seen.attempts):.2f}"
        )
        for spec, values in seen.similarity.items():
            matched = sum(value >= judges[spec].threshold(_FMR) for value in values)
            print(f"    {judges[spec].name}: similarity {np.mean(values):.4f}, matched at FMR 1e-3 {matched}")


if __name__ == "__main__":
    main()
