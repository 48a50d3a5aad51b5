"""Faces that released clips of `benchmarks.camera_clips` show as they were, by how much of them was in the picture.

    python -m benchmarks.shown_faces SHARD.tar FILMS RELEASED [--every 40] [--first 8] [--only pan]

The options are those that made the clips. Where faces are is not looked for in the clips, where a detector misses what
the release may have missed too: they are those that MTCNN is sure of (0.99) in the picture that a clip was made of, put
to where the camera had them. A face is shown where its middle (0.8 of its box, as much as is in the frame) differs from
the film's by no more than the audit calls unchanged (4 grey levels).
"""

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from audit.config import AuditSettings
from benchmarks.camera_clips import Clip, clips, parser_of
from cfanet.boxes import area, share_inside
from cfanet.config import AnonymizeSettings
from cfanet.detect import MTCNNDetector
from cfanet.records import Box
from cfanet.video_file import read_frames
from tests.cfanet.clips import Look

_SURE = 0.99  # score of the faces that count
_MIDDLE = 0.8
_HEIGHT, _WIDTH = 180, 240
_SETTINGS = AnonymizeSettings()
_UNTOUCHED = AuditSettings().unchanged_tolerance_video


def where(box: Box, look: Look) -> Box:
    """A box of a picture in the frame of a camera: turned about its middle only, as faces are."""
    (x, y), width, turn_deg = look
    scale, turn = _WIDTH / width, math.radians(turn_deg)
    across, down = (box[0] + box[2]) / 2 - x, (box[1] + box[3]) / 2 - y
    middle_x = (across * math.cos(turn) + down * math.sin(turn)) * scale + _WIDTH / 2
    middle_y = (down * math.cos(turn) - across * math.sin(turn)) * scale + _HEIGHT / 2
    half_w, half_h = (box[2] - box[0]) * scale / 2, (box[3] - box[1]) * scale / 2
    return middle_x - half_w, middle_y - half_h, middle_x + half_w, middle_y + half_h


def changes(clip: Clip, boxes: list[Box], films: Path, released: Path) -> Iterator[tuple[float, float]]:
    """Of each face in each frame: share of its box in the frame, and change of its middle in grey levels."""
    for look, before, after in zip(clip.looks, _frames(films / clip.name), _frames(released / clip.name), strict=True):
        for box in (where(box, look) for box in boxes):
            middle = _middle(box)
            if middle is not None:
                yield share_inside(box, _HEIGHT, _WIDTH), float(np.abs(before[middle] - after[middle]).mean())


def _middle(box: Box) -> tuple[slice, slice] | None:
    """What of the middle of a box is in the frame; None where that is less than nine pixels."""
    margin_x, margin_y = ((1.0 - _MIDDLE) / 2 * side for side in (box[2] - box[0], box[3] - box[1]))
    left, right = (int(np.clip(value, 0, _WIDTH)) for value in (box[0] + margin_x, box[2] - margin_x))
    top, bottom = (int(np.clip(value, 0, _HEIGHT)) for value in (box[1] + margin_y, box[3] - margin_y))
    return (slice(top, bottom), slice(left, right)) if area((left, top, right, bottom)) >= 9 else None


def _frames(path: Path) -> list[npt.NDArray[np.int16]]:
    with path.open("rb") as file:
        return [frame.pixels.astype(np.int16) for frame in read_frames(file, path.suffix[1:], _SETTINGS.max_megapixels)]


def main() -> None:
    """Print how many faces there are, and how many of them are shown."""
    parser = parser_of(__doc__)
    parser.add_argument("released", type=Path, help="folder of the release")
    options = parser.parse_args()
    detector = MTCNNDetector(_SETTINGS.detector)
    faces, shown = Counter[tuple[str, int]](), Counter[tuple[str, int]]()
    for clip in clips(options):
        if not (options.released / clip.name).exists():
            print(f"{clip.name} was withheld")
            continue
        boxes = [found.box for found in detector.detect(clip.image) if found.score >= _SURE]
        for share, change in changes(clip, boxes, options.films, options.released):
            place = clip.kind, min(9, int(10 * share))
            faces[place] += 1
            shown[place] += change <= _UNTOUCHED
    table = Table("clips", "share of the face in the frame", "faces", "shown as they were")
    for kind, tenth in sorted(faces):
        table.add_row(
            kind, f"{tenth / 10:.1f} to {(tenth + 1) / 10:.1f}", *(str(n[kind, tenth]) for n in (faces, shown))
        )
    Console().print(table)


if __name__ == "__main__":
    main()
