"""Clips of a camera over the pictures of a shard, to release and to evaluate: in every second one people walk out.

    python -m benchmarks.camera_clips SHARD.tar FILMS [--every 40] [--first 8] [--only pan]
    cfanet release FILMS RELEASED
    cfanet evaluate video FILMS --released RELEASED --out RESULTS
    python -m benchmarks.shown_faces SHARD.tar FILMS RELEASED [the same]

10 frames of 240 × 180, 25 a second, H.264. In `pan…` the camera pans, draws nearer and turns; in `leave…` it is close
and moves on until half of the face in the middle is left. Only the camera moves, and no face by itself.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from benchmarks.tar_pictures import tar_pictures
from cfanet.records import ImageArray
from tests.cfanet.clips import Look, pan_looks, view, write_clip

_FRAMES = 10


@dataclass(frozen=True, eq=False)
class Clip:
    """One picture and the camera over it."""

    kind: str  # pan or leave
    name: str  # of the file
    image: ImageArray
    looks: list[Look]  # one a frame


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """Options that say which clips are made of which pictures."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="tar with .jpg pictures of 250 × 250 pixels, a face in the middle")
    parser.add_argument("films", type=Path, help="folder for the clips")
    parser.add_argument("--every", type=int, default=40, help="take one picture of so many")
    parser.add_argument("--first", type=int, default=8, help="number of the first")
    parser.add_argument("--only", choices=("pan", "leave"), help="clips of one kind only, not in turn")
    return parser


def clips(options: argparse.Namespace) -> Iterator[Clip]:
    """The clips that options of `parser_of` ask for; the camera goes right in two of four."""
    pictures = islice(tar_pictures(options.source), options.first, None, options.every)
    kinds = [options.only] if options.only else ["pan", "leave"]
    for number, (_, image) in enumerate(pictures):
        kind, side = kinds[number % len(kinds)], 1 if number % 4 < 2 else -1
        looks = leave_looks(6.5 * side) if kind == "leave" else pan_looks((125 - 4 * side, 120), (side, 0.5), _FRAMES)
        yield Clip(kind, f"{kind}{number:03d}.mp4", image, looks)


def leave_looks(step: float) -> list[Look]:
    """A camera that moves sideways by `step` pixels a frame, draws nearer, and turns a little."""
    return [((125 + n * step, 120), 118 - n, 0.3 * n) for n in range(_FRAMES)]


def main() -> None:
    """Write one clip a picture."""
    options = parser_of(__doc__).parse_args()
    written = 0
    for clip in clips(options):
        write_clip(options.films / clip.name, [view(clip.image, *look) for look in clip.looks])
        written += 1
    print(f"{written} clips of {_FRAMES} frames in {options.films}")


if __name__ == "__main__":
    main()
