"""`make bench`: a whole release and where its time and memory went; our pace beside deface's; the machinery's cost.

    python -m benchmarks [--source FOLDER] [--out FOLDER] [--workers N]

Without --source it releases the demo's pictures. Timings are of this machine and this minute: compare ratios.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.machinery import show_throughput
from benchmarks.side_by_side import show_side_by_side
from cfanet.errors import CfanetError
from jobs.config import load_config
from jobs.demo import demo_pictures, write_dataset
from jobs.progress import Progress
from jobs.release import release


def measure(source: Path, destination: Path, workers: int) -> dict[str, object]:
    """Release `source` and return what `run.json` says."""
    values = {"source.uri": str(source), "destination.uri": str(destination), "run.workers": workers}
    release(load_config(None, (), values), Progress(Console(stderr=True)))
    record: dict[str, object] = json.loads((destination / "_cfanet" / "run.json").read_text())
    return record


def show(record: dict[str, object], console: Console) -> None:
    """Print pictures per second, memory, and the seconds of every stage and step."""
    counts, stages, steps = record["counts"], record["stage_seconds"], record["step_seconds"]
    memory = record["peak_memory_bytes"]
    assert isinstance(counts, dict)
    assert isinstance(stages, dict)
    assert isinstance(steps, dict)
    assert isinstance(memory, dict)
    total = sum(stages.values())
    console.print(f"{counts['pictures']} pictures, {counts['faces']} faces in {total:.1f} s: "
                  f"{counts['pictures'] / total:.2f} pictures/s for the whole job")  # fmt: skip
    console.print(
        "peak memory: " + ", ".join(f"{name} {value / 2**20:.0f} MiB" for name, value in sorted(memory.items()))
    )
    table = Table("stage or step", "seconds", "ms a picture", box=None)
    for name, seconds in [*stages.items(), *steps.items()]:
        table.add_row(name, f"{seconds:.1f}", f"{1000 * seconds / counts['pictures']:.1f}")
    console.print(table)
    audit = sum(seconds for name, seconds in steps.items() if name.startswith("audit."))
    if counts["faces"]:
        console.print(f"audit: {10_000 * audit / counts['faces']:.0f} worker-seconds for 10,000 faces")
    console.print("Stages are wall-clock seconds; steps (stage.step) are summed over workers.")


def main() -> int:
    """Run the benchmark; the exit code is that of the release's own errors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, help="folder of shards or pictures; default: the demo's pictures")
    parser.add_argument("--out", type=Path, default=Path("bench-out"), help="folder to write to; replaced")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    shutil.rmtree(given.out, ignore_errors=True)
    source = given.source
    if source is None:
        source = given.out / "originals"
        write_dataset(demo_pictures(), source)
    try:
        show(measure(source, given.out / "released", given.workers), Console())
        show_side_by_side(source, Console())
        show_throughput(0.1, Console())
    except CfanetError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
