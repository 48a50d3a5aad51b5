"""A release from bucket to bucket that is killed at random moments, again and again, over a network that fails.

    python -m benchmarks.chaos [--kills N] [--seed N]

A real S3 server (moto) behind a proxy that spoils a tenth of all requests; fake models, everything else real. The job
is killed with SIGKILL, with all it started, and run again until N kills are reached and a release is done. After every
kill: whatever has its final name must be whole and the right bytes. In the end: nothing lost, nothing twice.
"""

import argparse
import hashlib
import io
import os
import random
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.fakes import COST
from benchmarks.machinery import write_shards
from tests.jobs.s3 import Bucket, FaultyProxy, moto_server, variables

_SHARDS, _PICTURES, _COST_S = 24, 20, 0.05
_JOB = """
import io, sys
from rich.console import Console
from benchmarks.fakes import FakeCostlyTools
from jobs.config import load_config
from jobs.progress import Progress
from jobs.release import release
values = {"source.uri": sys.argv[1], "destination.uri": sys.argv[2], "run.key_file": sys.argv[3], "run.workers": 2}
release(load_config(None, (), values), Progress(Console(file=io.StringIO())), FakeCostlyTools).raise_for_status()
"""


@dataclass
class Tally:
    """What happened so far."""

    kills: int = 0
    runs: int = 0
    releases: int = 0
    killed_with: Counter[int] = field(default_factory=Counter)  # kills by shards that were done then
    wrong: list[str] = field(default_factory=list)


def _kill(process: subprocess.Popen[bytes]) -> None:
    started = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for child in started:
        if child.is_running():
            child.kill()
    psutil.wait_procs(started, timeout=10)


def _shards(bucket: Bucket, prefix: str) -> dict[str, str]:
    """SHA-256 of every released shard, by name."""
    names = [name for name in bucket.names(f"{prefix}/") if name.endswith(".tar")]
    return {name.rpartition("/")[2]: hashlib.sha256(bucket.get(name)).hexdigest() for name in names}


def _check_end(bucket: Bucket, prefix: str, expected: dict[str, str], tally: Tally) -> None:
    """The release must be complete, whole, sealed and without leftovers."""
    if _shards(bucket, prefix) != expected:
        tally.wrong.append(f"{prefix}: other shards than those of an undisturbed release")
    for name in expected:
        with tarfile.open(fileobj=io.BytesIO(bucket.get(f"{prefix}/{name}"))) as tar:
            keys = Counter(member.name for member in tar)
        wanted = {f"{name.removesuffix('.tar')}-{number}.png" for number in range(_PICTURES)}
        if set(keys) != wanted or max(keys.values()) > 1:
            tally.wrong.append(f"{prefix}/{name}: pictures lost or twice")
    if f"{prefix}/RELEASE.json" not in bucket.names(f"{prefix}/"):
        tally.wrong.append(f"{prefix}: no RELEASE.json")
    if bucket.uploads():
        tally.wrong.append(f"{prefix}: {bucket.uploads()} uploads left open")


def _release(bucket: Bucket, prefix: str, key: Path, endpoint: str) -> subprocess.Popen[bytes]:
    uri = f"s3://{bucket.name}"
    command = [sys.executable, "-c", _JOB, f"{uri}/in", f"{uri}/{prefix}", str(key)]
    return subprocess.Popen(command, env={**os.environ, **variables(endpoint), COST: str(_COST_S)})


def disturb(bucket: Bucket, endpoint: str, key: Path, kills: int, seed: int) -> Tally:
    """Release under kills until there were enough, and let every release come to its end."""
    tally, chance = Tally(), random.Random(seed)
    if _release(bucket, "calm", key, endpoint).wait():
        raise SystemExit("the undisturbed release failed: there is nothing to compare with")
    expected = _shards(bucket, "calm")
    assert len(expected) == _SHARDS
    with FaultyProxy(endpoint, share=0.1, seed=seed) as proxy:
        while tally.kills < kills:
            prefix = f"out-{tally.releases}"
            while True:
                process, tally.runs = _release(bucket, prefix, key, proxy.endpoint), tally.runs + 1
                limit = chance.uniform(4.0, 45.0) if tally.kills < kills else None
                try:
                    code = process.wait(limit)
                    break
                except subprocess.TimeoutExpired:
                    _kill(process)
                tally.kills += 1
                found = _shards(bucket, prefix)
                tally.killed_with[len(found)] += 1
                broken = [f"{prefix}/{n}: not whole" for n, digest in found.items() if digest != expected[n]]
                tally.wrong += broken
                print(f"kill {tally.kills}: {len(found)} of {_SHARDS} shards there, {len(broken)} wrong", flush=True)
            tally.releases += 1
            if code:
                tally.wrong.append(f"{prefix}: exit {code}")
            _check_end(bucket, prefix, expected, tally)
        print(f"requests by what became of them: {dict(proxy.counts)}")
    return tally


def main() -> int:
    """Print what was survived; 0 when nothing was lost, doubled or truncated."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    begun = time.monotonic()
    with moto_server() as endpoint, tempfile.TemporaryDirectory(prefix="cfanet-bench-") as name:
        folder = Path(name)
        (folder / "key").write_bytes(b"0123456789abcdef")
        write_shards(folder / "source", _SHARDS, _PICTURES)
        bucket = Bucket(endpoint, "chaos")
        for path in sorted((folder / "source").iterdir()):
            bucket.put(f"in/{path.name}", path.read_bytes())
        tally = disturb(bucket, endpoint, folder / "key", given.kills, given.seed)
    print(
        f"{tally.kills} kills in {tally.runs} runs of {tally.releases} releases, {time.monotonic() - begun:.0f} s; "
        f"shards there when killed: {dict(sorted(tally.killed_with.items()))}; wrong: {tally.wrong or 'nothing'}"
    )
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
