"""Check a release of WebDataset shards from outside, with none of the project's code but the ledger's column names.

    python -m benchmarks.check SRC DST [--same OTHER] [--different OTHER]

Counts keys against the source and the quarantine lists, looks for faces in the output with MTCNN as facenet-pytorch
sets it up, compares the pixels inside each found box with the input, and adds up the ledger's statuses. `--same` and
`--different` name other releases of the same source whose shards must be byte for byte the same, or must not be.
"""

import argparse
import hashlib
import io
import json
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from facenet_pytorch import MTCNN
from PIL import Image

UNCHANGED = 3.0  # mean absolute difference, of 255, below which a region counts as left as it was


def pictures(shard: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (key, pixels) of every .jpg of a shard."""
    with tarfile.open(shard) as tar:
        for member in tar:
            if member.name.endswith(".jpg"):
                file = tar.extractfile(member)
                assert file is not None
                yield member.name.removesuffix(".jpg"), np.array(Image.open(io.BytesIO(file.read())).convert("RGB"))


def check_keys(source: Path, released: Path) -> list[str]:
    """What is wrong with the keys of one shard."""
    wanted = [key for key, _ in pictures(source)]
    held = released.parent / "_cfanet" / "quarantine" / f"{released.stem}.jsonl"
    withheld = [json.loads(line)["key"] for line in held.read_text().splitlines()] if held.exists() else []
    got = Counter([key for key, _ in pictures(released)]) + Counter(set(withheld))
    wrong = [f"{key}: {got[key]} times" for key in wanted if got[key] != 1]
    return wrong + [f"{key}: not in the source" for key in got if key not in set(wanted)]


def faces_left(source: Path, released: Path, detector: MTCNN) -> tuple[int, list[str]]:
    """How many faces the detector finds in a released shard, and those whose pixels are as they were."""
    before = dict(pictures(source))
    found, left = 0, []
    for key, after in pictures(released):
        boxes, _ = detector.detect(after)
        for box in boxes if boxes is not None else []:
            found += 1
            x0, y0 = max(0, int(box[0])), max(0, int(box[1]))
            x1, y1 = max(x0 + 1, int(box[2])), max(y0 + 1, int(box[3]))
            a, b = before[key][y0:y1, x0:x1].astype(float), after[y0:y1, x0:x1].astype(float)
            if a.size and np.abs(a - b).mean() < UNCHANGED:
                left.append(f"{key}: {[round(float(value)) for value in box]}, changed by {np.abs(a - b).mean():.1f}")
    return found, left


def loop_passes(destination: Path) -> tuple[Counter[str], int, int]:
    """(pictures per status, replaced faces, replaced faces with a comparison at or above its threshold)."""
    statuses: Counter[str] = Counter()
    replaced = failed = 0
    for ledger in sorted((destination / "_cfanet" / "ledger").glob("*.parquet")):
        seen = {}
        for row in pq.read_table(ledger).to_pylist():
            seen[row["sample_key"], row.get("member")] = row["status"]
            if row["decision"] == "replaced":
                replaced += 1
                failed += any(c["similarity"] >= c["threshold"] for c in row["comparisons"])
        statuses.update(seen.values())
    return statuses, replaced, failed


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every shard of a release."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.tar"))}


def main() -> int:
    """Print every check and return 0 when all hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("destination", type=Path)
    parser.add_argument("--same", type=Path, action="append", default=[])
    parser.add_argument("--different", type=Path, action="append", default=[])
    given = parser.parse_args()
    torch.set_num_threads(1)
    detector = MTCNN(keep_all=True)
    wrong: list[str] = []
    total = pictures_out = 0
    left: list[str] = []
    for released in sorted(given.destination.glob("*.tar")):
        source = given.source / released.name
        wrong += check_keys(source, released)
        found, unchanged = faces_left(source, released, detector)
        total, left = total + found, left + unchanged
        pictures_out += sum(1 for _ in pictures(released))
    statuses, replaced, failed = loop_passes(given.destination)
    mine = digests(given.destination)
    print(f"shards {len(mine)}, pictures in the output {pictures_out}, statuses {dict(statuses)}")
    print(f"keys not exactly once in output or quarantine: {len(wrong)} {wrong[:5]}")
    print(f"faces found in the output: {total}, left as they were: {len(left)} {left[:5]}")
    print(f"replaced faces: {replaced}, at or above a threshold of the loop: {failed}")
    same = [other for other in given.same if digests(other) != mine]
    different = [other for other in given.different if set(digests(other).values()) & set(mine.values())]
    print(f"releases that should be the same and are not: {len(same)} of {len(given.same)}")
    print(f"releases that should differ and share a shard: {len(different)} of {len(given.different)}")
    adds_up = sum(statuses.values()) - statuses["quarantined"] == pictures_out
    print(f"statuses add up to the output: {adds_up}")
    return 0 if mine and adds_up and not (wrong or left or failed or same or different) else 1


if __name__ == "__main__":
    sys.exit(main())
