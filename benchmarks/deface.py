"""`deface` (MIT, github.com/ORB-HD/deface) as it comes, beside our own methods: speed, and pictures to be judged.

    python -m benchmarks.deface SHARDS OUT [--limit N] [--program deface]

Writes the pictures of WebDataset shards to OUT/originals, runs the program on them as a user would, once, into
OUT/deface, and prints pictures per second with the program's start included. `cfanet evaluate lfw SHARDS …
--method released:OUT/deface` then measures what it made. The program is no dependency: `pip install deface onnx
onnxruntime` into an environment of its own, and name it with --program.
"""

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.check import shard_pictures


def write_originals(shards: list[Path], folder: Path, limit: int | None) -> list[str]:
    """Write the first `limit` pictures as they are; returns their keys."""
    folder.mkdir(parents=True)
    keys: list[str] = []
    for shard in shards:
        for key, data in shard_pictures(shard):
            if limit is not None and len(keys) >= limit:
                return keys
            (folder / f"{key}.jpg").write_bytes(data)
            keys.append(key)
    return keys


def run_program(program: str, keys: list[str], originals: Path, released: Path) -> float:
    """Run the program on every original at once; returns seconds. A failure ends the benchmark."""
    released.mkdir(parents=True)
    started = time.perf_counter()
    files = [str(originals / f"{key}.jpg") for key in keys]
    subprocess.run([program, "--keep-metadata", *files], check=True, cwd=originals, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - started
    for key in keys:
        made = originals / f"{key}_anonymized.jpg"
        if made.exists():
            made.rename(released / f"{key}.jpg")
    return seconds


def main() -> int:
    """Print what was measured; 1 when the program left pictures out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", type=Path, help="folder of .tar shards")
    parser.add_argument("out", type=Path, help="folder to write to; replaced")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--program", default="deface")
    given = parser.parse_args()
    if shutil.which(given.program) is None:
        print(f"{given.program} is not installed: pip install deface onnx onnxruntime, or name it with --program")
        return 2
    shutil.rmtree(given.out, ignore_errors=True)
    keys = write_originals(sorted(given.shards.glob("*.tar")), given.out / "originals", given.limit)
    seconds = run_program(given.program, keys, given.out / "originals", given.out / "deface")
    made = len(list((given.out / "deface").glob("*.jpg")))
    print(f"{made} of {len(keys)} pictures in {seconds:.1f} s: {made / seconds:.1f} pictures/s, start included")
    return 0 if made == len(keys) else 1


if __name__ == "__main__":
    sys.exit(main())
