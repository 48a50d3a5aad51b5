"""`deface` (MIT, github.com/ORB-HD/deface) as it comes, beside our own methods: speed, and pictures to be judged.

    python -m benchmarks.deface SRC OUT --pairs CSV [--limit N] [--program deface]

Writes the right pictures of the first N same pairs to OUT/originals, runs the program on them once, as a user would,
and prints pictures per second with the program's start included. What it made lies in OUT/deface, for
`cfanet evaluate lfw SRC --pairs CSV --limit N --method released:OUT/deface`. The program is no dependency:
`pip install deface onnx onnxruntime` into an environment of its own, and name it with --program.
"""

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

from training.evaluation.pairs import first_of_each_fold, read_pairs
from training.evaluation.samples import Sample, list_samples, list_shards


def right_pictures(source: Path, pairs: Path, limit: int | None) -> list[Sample]:
    """What `cfanet evaluate lfw` anonymizes."""
    by_key = {sample.key: sample for sample in list_samples(list_shards(source))}
    used = first_of_each_fold(read_pairs(pairs, by_key), limit)
    return [by_key[key] for key in dict.fromkeys(pair.right for pair in used if pair.same)]


def run_program(program: str, originals: list[Path], released: Path) -> float:
    """Run the program on all originals at once; returns seconds. CalledProcessError when it fails."""
    released.mkdir(parents=True)
    started = time.perf_counter()
    subprocess.run([program, *map(str, originals)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seconds = time.perf_counter() - started
    for original in originals:
        made = original.with_stem(f"{original.stem}_anonymized")
        if made.exists():
            made.rename(released / original.name)
    return seconds


def main() -> int:
    """Print what was measured; 1 when the program left pictures out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder of shards, a shard or 'quoted-*.tar'")
    parser.add_argument("out", type=Path, help="folder to write to; replaced")
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--program", default="deface")
    given = parser.parse_args()
    if shutil.which(given.program) is None:
        print(f"{given.program} is not installed: pip install deface onnx onnxruntime, or name it with --program")
        return 2
    shutil.rmtree(given.out, ignore_errors=True)
    (given.out / "originals").mkdir(parents=True)
    originals = []
    for sample in right_pictures(given.source, given.pairs, given.limit):
        originals.append(given.out / "originals" / f"{sample.key}.jpg")
        originals[-1].write_bytes(sample.photo().data)
    seconds = run_program(given.program, originals, given.out / "deface")
    made = len(list((given.out / "deface").glob("*.jpg")))
    print(f"{made} of {len(originals)} pictures in {seconds:.1f} s: {made / seconds:.1f} pictures/s, start included")
    return 0 if made == len(originals) else 1


if __name__ == "__main__":
    sys.exit(main())
