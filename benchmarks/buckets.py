"""Real pictures released from bucket to bucket, as WebDataset and as Parquet, and read by the readers people use.

    python -m benchmarks.buckets SHARD.tar [SHARD.tar ...] [--pictures N] [--formats webdataset parquet] [--keep DIR]

A real S3 server (moto), Ray on two nodes beside a head that takes no work, real models, default settings. Checked:
every key is released or withheld, once, in order; labels arrive; plain webdataset, pyarrow and datasets read all of
it; and the same release from folder to folder with one worker gives the same bytes (`--no-again`: not made).
"""

import argparse
import io
import json
import logging
import os
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import ray
import webdataset
from PIL import Image
from ray.cluster_utils import Cluster
from rich.console import Console

from jobs.config import load_config
from jobs.progress import Progress
from jobs.release import Outcome, release
from tests.jobs.fakes import folder_digest, write_tar
from tests.jobs.s3 import Bucket, moto_server, variables

_ROW_GROUP = 100
_ENDINGS = {"webdataset": ".tar", "parquet": ".parquet"}
_KEPT = {"webdataset": ["cls"], "parquet": ["label"]}
Keys = dict[str, list[str]]  # by shard, in order


@dataclass(frozen=True)
class _Sample:
    key: str
    picture: bytes  # JPEG
    person: bytes  # JSON

    def members(self, label: int) -> list[tuple[str, bytes]]:
        names = (f"{self.key}.{kind}" for kind in ("jpg", "json", "cls"))
        return list(zip(names, (self.picture, self.person, str(label).encode()), strict=True))


def _samples(shard: Path, most: int | None) -> list[_Sample]:
    """The first pictures of a tar with their labels."""
    found: dict[str, dict[str, bytes]] = {}
    with tarfile.open(shard) as tar:
        for member in tar:
            key, _, kind = member.name.rpartition(".")
            file = tar.extractfile(member)
            assert file is not None
            if key in found or most is None or len(found) < most:
                found.setdefault(key, {})[kind] = file.read()
    return [_Sample(key, files["jpg"], files["json"]) for key, files in found.items()]


def _write(shards: list[Path], folder: Path, kind: str, most: int | None) -> Keys:
    """The pictures in one of the formats, each with its person and, as its label, its place in the shard."""
    keys: Keys = {}
    for shard in shards:
        samples, path = _samples(shard, most), folder / f"{shard.stem}{_ENDINGS[kind]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        keys[shard.stem] = [sample.key for sample in samples]
        if kind == "webdataset":
            write_tar(path, [member for n, sample in enumerate(samples) for member in sample.members(n)])
        else:
            images = [{"bytes": sample.picture, "path": f"{sample.key}.jpg"} for sample in samples]
            columns = {
                "image": pa.array(images, datasets.Image().pa_type),
                "identity": [json.loads(sample.person)["identity"] for sample in samples],
                "label": list(range(len(samples))),
            }
            pq.write_table(pa.table(columns), path, row_group_size=_ROW_GROUP)
    return keys


def _release(kind: str, source: str, destination: str, key: Path, workers: int) -> Outcome:
    values: dict[str, Any] = {
        "source.uri": source,
        "destination.uri": destination,
        "destination.keep_members": _KEPT[kind],
        "run.key_file": str(key),
        "run.workers": workers,
        "audit.gate.max_name_findings": 1_000_000,  # the file names of LFW are names of people
    }
    return release(load_config(None, (), values), Progress(Console(file=io.StringIO())))


def _withheld(folder: Path, shard: str) -> set[str]:
    """Keys on the shard's quarantine list; of Parquet, its rows."""
    path = folder / "_cfanet" / "quarantine" / f"{shard}.jsonl"
    return {json.loads(line)["key"] for line in path.read_text().splitlines()} if path.exists() else set()


def _expected(kind: str, folder: Path, keys: Keys) -> list[int]:
    """Labels, in order, of all pictures that are not withheld."""
    labels = []
    for shard, names in keys.items():
        withheld = _withheld(folder, shard)
        for label, name in enumerate(names):
            if (name if kind == "webdataset" else f"{shard}:{label:09d}") not in withheld:
                labels.append(label)
    return labels


def _read_webdataset(paths: list[str], cache: str) -> dict[str, list[int]]:
    plain = webdataset.WebDataset(paths, shardshuffle=False).decode("pil").to_tuple("jpg", "cls")
    rows = datasets.load_dataset("webdataset", data_files=paths, split="train", streaming=True, cache_dir=cache)
    return {
        "webdataset": [label for picture, label in plain if picture.size[0] > 0],
        "datasets": [row["cls"] for row in rows if row["jpg"].size[0] > 0],
    }


def _read_parquet(paths: list[str], cache: str) -> dict[str, list[int]]:
    plain = [row for path in paths for row in pq.read_table(path).to_pylist()]
    rows = datasets.load_dataset("parquet", data_files=paths, split="train", streaming=True, cache_dir=cache)
    rows = rows.cast_column("image", datasets.Image())
    return {
        "pyarrow": [row["label"] for row in plain if Image.open(io.BytesIO(row["image"]["bytes"])).size[0] > 0],
        "datasets": [row["label"] for row in rows if row["image"].size[0] > 0],
    }


_READ: dict[str, Callable[[list[str], str], dict[str, list[int]]]] = {
    "webdataset": _read_webdataset,
    "parquet": _read_parquet,
}


@contextmanager
def _two_nodes() -> Iterator[None]:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1)
        ray.init(address=cluster.address, logging_level=logging.ERROR, log_to_driver=False)
        yield
    finally:
        ray.shutdown()
        cluster.shutdown()  # type: ignore[no-untyped-call]


def _run(kind: str, shards: list[Path], endpoint: str, folder: Path, given: argparse.Namespace) -> list[str]:
    """Release one format and print what was found; returns what is wrong."""
    keys = _write(shards, folder / "in", kind, given.pictures)
    bucket, key = Bucket(endpoint, kind), folder / "key"
    key.write_bytes(b"0123456789abcdef")
    for path in sorted((folder / "in").iterdir()):
        bucket.put(f"in/{path.name}", path.read_bytes())
    begun = time.monotonic()
    with _two_nodes():
        outcome = _release(kind, f"s3://{kind}/in", f"s3://{kind}/out", key, workers=2)
    took = time.monotonic() - begun
    fetched = (given.keep / kind) if given.keep else folder / "fetched"
    for name in bucket.names("out/"):
        path = fetched / name.removeprefix("out/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bucket.get(name))
    released = sorted(fetched.glob(f"*{_ENDINGS[kind]}"))
    counts, verdict = outcome.run.counts, outcome.verdict
    assert verdict is not None
    refusal = "passed" if verdict.passed else "refused: " + "; ".join(verdict.reasons)
    print(f"{kind}: {counts.pictures:,} pictures of {len(keys)} shards in {took:.0f} s; gate {refusal}", flush=True)
    wrong = [] if [path.stem for path in released] == sorted(keys) else [f"{kind}: shards {released}"]
    wrong += [f"{kind}: {bucket.uploads()} uploads left open"] if bucket.uploads() else []
    expected = _expected(kind, fetched, keys)
    for reader, labels in _READ[kind]([str(path) for path in released], str(folder / "cache")).items():
        print(f"  {reader} reads {len(labels):,} pictures; {counts.quarantined} withheld", flush=True)
        wrong += [] if labels == expected else [f"{kind}: {reader} does not read what was expected"]
    if given.again:
        _release(kind, str(folder / "in"), str(folder / "again"), key, workers=1)
        one, other = (
            {name: digest for name, digest in folder_digest(place).items() if name.endswith(_ENDINGS[kind])}
            for place in (fetched, folder / "again")
        )
        same = sum(one[name] == other.get(name) for name in one)
        print(f"  {same} of {len(one)} shards are byte for byte those of a local release with one worker", flush=True)
        wrong += [] if one == other else [f"{kind}: other bytes from folder to folder"]
    return wrong


def main() -> int:
    """Print what arrived; 0 when nothing is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", type=Path, nargs="+")
    parser.add_argument("--pictures", type=int, help="the first so many of each shard; default: all")
    parser.add_argument("--formats", nargs="+", choices=sorted(_ENDINGS), default=["webdataset", "parquet"])
    parser.add_argument("--keep", type=Path, help="folder for what was released; default: thrown away")
    parser.add_argument("--again", action=argparse.BooleanOptionalAction, default=True)
    given = parser.parse_args()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # moto's server would print every request
    wrong: list[str] = []
    with moto_server() as endpoint, tempfile.TemporaryDirectory(prefix="cfanet-bench-") as name:
        os.environ.update(variables(endpoint))
        for kind in given.formats:
            wrong += _run(kind, given.shards, endpoint, Path(name) / kind, given)
    print(f"wrong: {wrong or 'nothing'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
