"""Where faces at a picture's border are found: as MTCNN says at first, and looked at again with the border carried on.

    python -m benchmarks.border_faces SHARD.tar [--every 1] [--cuts 2]

Faces of a shard that lie wholly inside are cut by borders drawn at random, at one side or at two; where they lie in the
whole picture is the truth. Printed by how much of the true box the border leaves: how far the five points are off on
average, in distances of the eyes, and how often the box is thought to have enough in the picture to be replaced.
"""

import argparse
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.tar_pictures import tar_pictures
from cfanet.boxes import iou, share_inside
from cfanet.config import AnonymizeSettings
from cfanet.detect import MTCNNDetector
from cfanet.records import Box, Detection, ImageArray

_STEPS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_NARROWEST = 32.0  # pixels, of faces that are cut
_MOST = 0.5  # share of a face's side that a border takes away
_SAME = 0.3  # intersection over union with the truth from which a face is the one that was cut


class _OnceDetector(MTCNNDetector):
    """The same without the second look at the border."""

    def _look_again(self, image: ImageArray, faces: list[Detection]) -> list[Detection]:
        return faces


@dataclass
class Row:
    """What was seen of the cut faces with about the same share in the picture."""

    off: dict[str, list[float]] = field(default_factory=lambda: {"once": [], "again": []})
    enough: dict[str, list[bool]] = field(default_factory=lambda: {"once": [], "again": []})


def cut(image: ImageArray, face: Detection, rng: np.random.Generator) -> tuple[ImageArray, Detection]:
    """The picture with a border through the face, at one side or two neighbouring ones; the face as it lies there."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = face.box
    bounds = [0, 0, width, height]
    sides = [int(rng.integers(4))]
    if rng.random() < 0.5:
        sides.append((sides[0] + 1) % 4)
    for side in sides:
        taken = rng.uniform(0.0, _MOST)
        bounds[side] = round((x0 + taken * (x1 - x0), y0 + taken * (y1 - y0), x1 - taken * (x1 - x0),
                              y1 - taken * (y1 - y0))[side])  # fmt: skip
    left, top, right, bottom = bounds
    box = (x0 - left, y0 - top, x1 - left, y1 - top)
    seen = np.ascontiguousarray(image[top:bottom, left:right])
    return seen, Detection(box, face.score, face.landmarks - np.array([left, top], np.float32))


def matching(faces: list[Detection], truth: Box, height: int, width: int) -> Detection | None:
    """The face that is the cut one: what lies of it in the picture is nearest to what lies there of the truth."""
    picture = (0.0, 0.0, float(width), float(height))

    def clipped(box: Box) -> Box:
        return (*np.maximum(box[:2], picture[:2]), *np.minimum(box[2:], picture[2:]))

    best = max(faces, key=lambda face: iou(clipped(face.box), clipped(truth)), default=None)
    return best if best is not None and iou(clipped(best.box), clipped(truth)) >= _SAME else None


def main() -> None:
    """Cut, look both ways, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="tar with .jpg pictures whose faces mostly lie inside")
    parser.add_argument("--every", type=int, default=1, help="take one picture of so many")
    parser.add_argument("--cuts", type=int, default=2, help="borders drawn for each face")
    options = parser.parse_args()
    settings = AnonymizeSettings()
    looks = {"once": _OnceDetector(settings.detector), "again": MTCNNDetector(settings.detector)}
    rows = [Row() for _ in _STEPS[:-1]]
    rng, missed, spent = np.random.default_rng(0), {"once": 0, "again": 0}, {"once": 0.0, "again": 0.0}
    for _, image in tar_pictures(options.source, options.every):
        for face in looks["once"].detect(image):
            wide = face.box[2] - face.box[0] >= _NARROWEST and face.score >= settings.min_replace_score
            if not wide or share_inside(face.box, *image.shape[:2]) < 1.0:
                continue
            for _ in range(options.cuts):
                seen, truth = cut(image, face, rng)
                share = share_inside(truth.box, *seen.shape[:2])
                number = int(np.searchsorted(_STEPS, share, side="right")) - 1
                if not 0 <= number < len(rows):
                    continue
                found = {}
                for name, detector in looks.items():
                    start = time.process_time()
                    found[name] = matching(detector.detect(seen), truth.box, *seen.shape[:2])
                    spent[name] += time.process_time() - start
                    missed[name] += found[name] is None
                eyes = float(np.linalg.norm(truth.landmarks[1] - truth.landmarks[0]))
                for name, one in found.items():
                    if one is None or found["once"] is None:
                        continue
                    off = np.linalg.norm(one.landmarks - truth.landmarks, axis=1).mean() / eyes
                    rows[number].off[name].append(float(off))
                    there = share_inside(one.box, *seen.shape[:2])
                    rows[number].enough[name].append(there >= settings.min_replace_inside)
    total = sum(len(row.off["again"]) for row in rows)
    print(f"{total} cut faces compared; not found once {missed['once']}, again {missed['again']}")
    print(f"processor time a picture: {spent['again'] / max(spent['once'], 1e-9):.2f} times that of one look")
    for low, high, row in zip(_STEPS, _STEPS[1:], rows, strict=False):
        if not row.off["again"]:
            continue
        said = [
            f"{name} {np.median(row.off[name]):.3f} (one in ten above {np.quantile(row.off[name], 0.9):.3f}), "
            f"enough inside {np.mean(row.enough[name]):.2f}"
            for name in looks
        ]
        print(f"{low:.1f} to {high:.1f}, {len(row.off['again'])} faces: {'; '.join(said)}")


if __name__ == "__main__":
    main()
