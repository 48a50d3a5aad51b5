"""A release from bucket to bucket that is killed at random moments, again and again, over a network that fails.

    python -m benchmarks.chaos [--kills N] [--seed N]

A real S3 server (moto) behind a proxy that spoils a tenth of all requests; fake models, everything else real. The job
is killed with SIGKILL, with all it started, and run again until N kills are reached and a release is done. The moments
are numbers of requests to the store, as many at most as an undisturbed release makes, so that they are spread over the
whole work on a fast machine and on a busy one. After every kill: whatever has its final name must be whole and the
right bytes, and what is sealed must be complete. In the end: nothing lost, nothing twice.
"""

import argparse
import hashlib
import io
import json
import logging
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
from typing import Any

import numpy as np
import psutil
from PIL import Image

from benchmarks.fakes import COST
from tests.jobs.fakes import picture, write_tar
from tests.jobs.s3 import Bucket, FaultyProxy, moto_server, variables

_SHARDS, _PICTURES, _COST_S = 12, 20, 0.05
_LATER_S = 1.0  # at most, from the request that was waited for to the kill
_MOST_FAILURES = 5  # a machine that is too busy to start Ray is no fault of the release; a release that always fails is
_STAGES = ("enrol", "calibrate", "anonymize", "audit")
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
    failed: int = 0  # runs that ended by themselves with an error, and were run again
    releases: int = 0
    killed_in: Counter[str] = field(default_factory=Counter)  # kills by stage
    killed_with: Counter[int] = field(default_factory=Counter)  # kills by shards that were done then
    wrong: list[str] = field(default_factory=list)


def _write_shards(folder: Path, seed: int) -> None:
    """Tars of small pictures with a face each, and all different: the audit looks up every original that is alike."""
    chance = np.random.default_rng(seed)
    for shard in range(_SHARDS):
        members = []
        for number in range(_PICTURES):
            face, buffer = picture([shard % 6 + 1]), io.BytesIO()
            blocks = np.kron(chance.integers(60, 200, (8, 25), dtype=np.uint8), np.ones((8, 8), np.uint8))
            background = np.repeat(blocks[..., None], 3, axis=2)
            Image.fromarray(np.where(face == 128, background, face)).save(buffer, "PNG")
            members.append((f"{shard:05d}-{number}.png", buffer.getvalue()))
        write_tar(folder / f"{shard:05d}.tar", members)


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


def _record(bucket: Bucket, prefix: str) -> dict[str, Any]:
    """What the job last wrote about itself; nothing before its first word."""
    name = f"{prefix}/_cfanet/run.json"
    return dict(json.loads(bucket.get(name))) if name in bucket.names(f"{prefix}/_cfanet/run") else {}


def _stage(before: dict[str, Any], now: dict[str, Any]) -> str:
    """What a killed run was doing, by its record and that of the run before."""
    if now.get("started_at") == before.get("started_at"):
        return "start"
    return next((stage for stage in _STAGES if stage not in now["stage_seconds"]), "seal")


def _check_killed(bucket: Bucket, prefix: str, expected: dict[str, str], tally: Tally) -> str:
    """Whatever has its final name must be whole, and a seal must vouch for everything; returns what was found."""
    found = _shards(bucket, prefix)
    tally.killed_with[len(found)] += 1
    broken = [f"{prefix}/{name}: not whole" for name, digest in found.items() if digest != expected[name]]
    sealed = f"{prefix}/RELEASE.json" in bucket.names(f"{prefix}/RELEASE")
    if sealed and found != expected:
        broken.append(f"{prefix}: sealed, and not complete")
    tally.wrong += broken
    return f"{len(found)} of {_SHARDS} shards there{', sealed' if sealed else ''}, {len(broken)} wrong"


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


def _killed(process: subprocess.Popen[bytes], proxy: FaultyProxy, requests: int, later_s: float) -> bool:
    """Kill a run once it has made so many requests and a moment has passed; False when it ended before."""
    begun = proxy.counts["requests"]
    while proxy.counts["requests"] - begun < requests:
        if process.poll() is not None:
            return False
        time.sleep(0.02)
    time.sleep(later_s)
    if process.poll() is not None:
        return False
    _kill(process)
    return True


def disturb(bucket: Bucket, endpoint: str, key: Path, kills: int, seed: int) -> Tally:
    """Release under kills until there were enough, and let the last release come to its end."""
    tally, chance = Tally(), random.Random(seed)
    with FaultyProxy(endpoint, share=0.0) as proxy:
        if _release(bucket, "calm", key, proxy.endpoint).wait():
            raise SystemExit("the undisturbed release failed: there is nothing to compare with")
        calm, expected = proxy.counts["requests"], _shards(bucket, "calm")
    assert len(expected) == _SHARDS
    print(f"undisturbed: {calm} requests; each run is killed after up to as many", flush=True)
    with FaultyProxy(endpoint, share=0.1, seed=seed) as proxy:
        while tally.kills < kills:
            prefix, killed = f"out-{tally.releases}", True
            while killed:
                before, started = _record(bucket, prefix), time.monotonic()
                process, tally.runs = _release(bucket, prefix, key, proxy.endpoint), tally.runs + 1
                at, later_s = chance.randrange(calm), chance.uniform(0.0, _LATER_S)
                killed = tally.kills < kills and _killed(process, proxy, at, later_s)
                if killed:
                    stage = _stage(before, _record(bucket, prefix))
                    tally.kills, tally.killed_in[stage] = tally.kills + 1, tally.killed_in[stage] + 1
                    found = _check_killed(bucket, prefix, expected, tally)
                    after_s = time.monotonic() - started
                    print(f"kill {tally.kills} after {at} requests, {after_s:.0f} s ({stage}): {found}", flush=True)
                elif process.wait():
                    killed, tally.failed = True, tally.failed + 1
                    print(f"run {tally.runs} ended with status {process.returncode}: once more", flush=True)
                    if tally.failed > _MOST_FAILURES:
                        raise SystemExit(f"{tally.failed} runs failed by themselves")
            tally.releases, wrong = tally.releases + 1, len(tally.wrong)
            _check_end(bucket, prefix, expected, tally)
            print(f"release {tally.releases} came to its end: {len(tally.wrong) - wrong} wrong", flush=True)
        print(f"requests by what became of them: {dict(proxy.counts)}")
    return tally


def main() -> int:
    """Print what was survived; 0 when nothing was lost, doubled or truncated."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    begun = time.monotonic()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # moto's server would print every request
    with moto_server() as endpoint, tempfile.TemporaryDirectory(prefix="cfanet-bench-") as name:
        folder = Path(name)
        (folder / "key").write_bytes(b"0123456789abcdef")
        _write_shards(folder / "source", given.seed)
        bucket = Bucket(endpoint, "chaos")
        for path in sorted((folder / "source").iterdir()):
            bucket.put(f"in/{path.name}", path.read_bytes())
        tally = disturb(bucket, endpoint, folder / "key", given.kills, given.seed)
    print(
        f"{tally.kills} kills and {tally.failed} failures in {tally.runs} runs of {tally.releases} releases, "
        f"{time.monotonic() - begun:.0f} s; "
        f"kills by stage: {dict(tally.killed_in)}; by shards there: {dict(sorted(tally.killed_with.items()))}; "
        f"wrong: {tally.wrong or 'nothing'}"
    )
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
