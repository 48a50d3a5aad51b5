"""What the machinery costs: with models of known cost, the throughput of a stage against the ideal; and its memory.

    python -m benchmarks.machinery [--cost S] [--memory]

The fakes sleep, so that eight workers may share one core; what is left of that core is all the machinery has. The time
counted runs from the first picture that any worker begins to the last manifest; the start of the processes is shown.
"""

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.fakes import COST, LOG, FakeCostlyTools
from jobs.config import load_config
from jobs.progress import Progress
from jobs.release import anonymize
from tests.jobs.fakes import encoded, write_tar

_PICTURES = 40  # a shard
_ROUNDS = 4  # shards a worker


@dataclass(frozen=True)
class Throughput:
    """One run with fakes."""

    workers: int
    pictures: int
    ideal_s: float
    took_s: float
    starting_s: float

    @property
    def share(self) -> float:
        """Of the ideal throughput."""
        return self.ideal_s / self.took_s


def write_shards(folder: Path, shards: int, pictures: int) -> None:
    """Tars of small pictures with a face each."""
    for shard in range(shards):
        data = encoded([shard % 6 + 1])
        write_tar(folder / f"{shard:05d}.tar", [(f"{shard:05d}-{number}.png", data) for number in range(pictures)])


def throughput(workers: int, cost_s: float, folder: Path) -> Throughput:
    """Release `_ROUNDS` shards a worker, with models that take `cost_s` a picture."""
    source, log = folder / "source", folder / "log"
    log.mkdir(parents=True)
    write_shards(source, _ROUNDS * workers, _PICTURES)
    os.environ |= {COST: str(cost_s), LOG: str(log)}
    values = {
        "source.uri": str(source),
        "destination.uri": str(folder / "released"),
        "run.workers": workers,
        "run.batch_size": 8,
    }
    begun = time.time()
    outcome = anonymize(load_config(None, (), values), Progress(Console(file=io.StringIO())), FakeCostlyTools)
    notes = [line.split() for path in log.iterdir() for line in path.read_text().splitlines()]
    first, pictures = min(float(note[0]) for note in notes), sum(int(note[2]) for note in notes)
    last = max(path.stat().st_mtime for path in (folder / "released/_cfanet/manifest").iterdir())
    assert pictures == outcome.run.counts.pictures == _ROUNDS * workers * _PICTURES
    return Throughput(workers, pictures, pictures * cost_s / workers, last - first, first - begun)


def show_throughput(cost_s: float, console: Console) -> None:
    """Measure with 1, 2, 4 and 8 workers and print a table."""
    table = Table(
        "workers", "pictures", "ideal, s", "took, s", "share of the ideal", "until the first picture, s", box=None
    )
    for workers in (1, 2, 4, 8):
        with tempfile.TemporaryDirectory(prefix="cfanet-bench-") as folder:
            row = throughput(workers, cost_s, Path(folder))
        table.add_row(
            str(workers), str(row.pictures), f"{row.ideal_s:.1f}", f"{row.took_s:.1f}", f"{row.share:.3f}",
            f"{row.starting_s:.1f}",
        )  # fmt: skip
    console.print(f"Machinery: models that take {1000 * cost_s:.0f} ms a picture")
    console.print(table)


_MEMORY_RUN = """
import sys
from pathlib import Path
from benchmarks.machinery import released_memory
released_memory(Path(sys.argv[1]))
"""


def released_memory(folder: Path) -> None:
    """Release what lies in `folder`/source, in a process of its own; run.json says how much memory was needed."""
    values = {
        "source.uri": str(folder / "source"),
        "destination.uri": str(folder / "released"),
        "run.workers": 2,
        "run.max_withheld": 1.0,
    }
    from jobs.release import release

    release(load_config(None, (), values), Progress(Console(file=io.StringIO())), FakeCostlyTools)


def memory(shards: int) -> dict[str, int]:
    """Peak bytes of the driver and of the largest worker of a whole release of so many shards."""
    folder = Path(tempfile.mkdtemp(prefix="cfanet-bench-"))
    try:
        write_shards(folder / "source", shards, 20)
        environment = {**os.environ, COST: "0.001"}
        subprocess.run([sys.executable, "-c", _MEMORY_RUN, str(folder)], check=True, env=environment)
        record = json.loads((folder / "released/_cfanet/run.json").read_text())
        peak: dict[str, int] = record["peak_memory_bytes"]
        return peak
    finally:
        shutil.rmtree(folder)


def show_memory(console: Console) -> None:
    """Print the peaks for 20 and for 200 shards, and their ratio."""
    few, many = memory(20), memory(200)
    table = Table("process", "20 shards, MiB", "200 shards, MiB", "ratio", box=None)
    for name in sorted(few):
        table.add_row(name, f"{few[name] / 2**20:.0f}", f"{many[name] / 2**20:.0f}", f"{many[name] / few[name]:.3f}")
    console.print(table)


def main() -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cost", type=float, default=0.1, help="seconds a picture")
    parser.add_argument("--memory", action="store_true", help="only the memory of 20 and 200 shards; some minutes")
    given = parser.parse_args()
    console = Console()
    if given.memory:
        show_memory(console)
    else:
        show_throughput(given.cost, console)
    return 0


if __name__ == "__main__":
    sys.exit(main())
