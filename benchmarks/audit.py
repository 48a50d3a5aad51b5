"""What a release's audit cost: seconds of its workers by step, for 10,000 faces, and the largest memory.

    python -m benchmarks.audit DST

Reads `DST/_cfanet/run.json`, which every run writes. `examine` embeds and compares, `search` is 1:N, `scan` looks into
files and members. Steps are wall-clock time of one worker: on a busy machine they say more about the others.
"""

import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from cfanet.errors import InputError
from jobs.run import read_run_record
from jobs.storage import open_storage

_PER = 10_000


def cost(record: Mapping[str, Any]) -> dict[str, float]:
    """Seconds for 10,000 faces by step of the audit; InputError when the record knows of no audited face."""
    faces = record["counts"]["faces"]
    steps = {name: value for name, value in record["step_seconds"].items() if name.startswith("audit.")}
    if not faces or not steps:
        raise InputError("this run audited no face: give a DST that `cfanet release` or `cfanet audit` finished")
    return {name.removeprefix("audit."): value * _PER / faces for name, value in steps.items()}


def main(arguments: list[str]) -> int:
    """Print a table for every destination that is named."""
    table = Table("DST", "faces", "step", f"s for {_PER:,} faces", "largest worker, GiB", box=None)
    for uri in arguments:
        record = read_run_record(open_storage(uri))
        if record is None:
            raise InputError(f"{uri} holds no run.json: give the DST of a release")
        steps = cost(record)
        peak = f"{record['peak_memory_bytes']['largest_worker'] / 2**30:.2f}"
        table.add_row(uri, f"{record['counts']['faces']:,}", "all", f"{sum(steps.values()):,.0f}", peak)
        for name, seconds in sorted(steps.items(), key=lambda step: -step[1]):
            table.add_row("", "", name, f"{seconds:,.0f}", "")
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
