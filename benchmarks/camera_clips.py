"""Clips of a camera over the pictures of a shard, to release and to evaluate: in every second one people walk out.

    python -m benchmarks.camera_clips SHARD.tar FILMS [--every 40] [--first 8] [--only pan]
    cfanet release FILMS RELEASED
    cfanet evaluate video FILMS --released RELEASED --out RESULTS

10 frames of 240 × 180, 25 a second, H.264. In `pan…` the camera pans, draws nearer and turns; in `leave…` it is close
and moves on until half of the face in the middle is left. Only the camera moves, and no face by itself.
"""

import argparse
from itertools import islice
from pathlib import Path

from benchmarks.tar_pictures import tar_pictures
from cfanet.records import ImageArray
from tests.cfanet.clips import pan, view, write_clip

_FRAMES = 10


def leave(image: ImageArray, centre: tuple[float, float], step: float) -> list[ImageArray]:
    """A camera that moves sideways by `step` pixels a frame, draws nearer, and turns a little."""
    return [view(image, (centre[0] + n * step, centre[1]), 118 - n, 0.3 * n) for n in range(_FRAMES)]


def write(films: Path, number: int, image: ImageArray, kind: str) -> Path:
    """One clip; the camera goes right in two of four."""
    side, path = 1 if number % 4 < 2 else -1, films / f"{kind}{number:03d}.mp4"
    if kind == "leave":
        write_clip(path, leave(image, (125, 120), 6.5 * side))
    else:
        write_clip(path, pan(image, (125 - 4 * side, 120), (side, 0.5), _FRAMES))
    return path


def main() -> None:
    """Write one clip a picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="tar with .jpg pictures of 250 × 250 pixels, a face in the middle")
    parser.add_argument("films", type=Path, help="folder for the clips")
    parser.add_argument("--every", type=int, default=40, help="take one picture of so many")
    parser.add_argument("--first", type=int, default=8, help="number of the first")
    parser.add_argument("--only", choices=("pan", "leave"), help="clips of one kind only, not in turn")
    options = parser.parse_args()
    pictures = islice(tar_pictures(options.source), options.first, None, options.every)
    kinds = [options.only] if options.only else ["pan", "leave"]
    written = [
        write(options.films, number, image, kinds[number % len(kinds)]) for number, (_, image) in enumerate(pictures)
    ]
    print(f"{len(written)} clips of {_FRAMES} frames in {options.films}")


if __name__ == "__main__":
    main()
