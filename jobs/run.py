"""One run of the job: its plan, its key, and the file that says what was run (`DST/_cfanet/run.json`)."""

import json
import platform
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cfanet.seeds import SeedKey
from jobs.config import ReleaseConfig, code_version
from jobs.evidence_file import check_database
from jobs.ledger import ledger_path
from jobs.manifest import Counts, Manifest, delete_manifest
from jobs.obscure_list import obscure_path
from jobs.plan import RELEASE_FILE, RUN_FILE, Plan, finished, make_plan, stale_records
from jobs.quarantine import quarantine_path
from jobs.storage import Storage, open_storage, read_bytes, write_bytes
from jobs.timing import peak_memory_bytes
from jobs.tools import RealTools, Tools
from jobs.worker import JobContext

_PACKAGES = ("torch", "ray", "numpy", "pillow", "facenet-pytorch", "dlib-bin", "pyarrow", "sqlalchemy", "av")
_PRIVATE = ("key_file", "database", "gallery", "review")  # places of secrets and of biometric data


@dataclass
class Run:
    """The state of a run on the driver; `save` writes it down."""

    context: JobContext
    plan: Plan
    storage: Storage  # the destination
    started_at: str
    status: str = "running"
    manifests: dict[str, Manifest] = field(default_factory=dict)  # of every shard that is done
    stage_seconds: dict[str, float] = field(default_factory=dict)  # wall clock
    step_seconds: dict[str, float] = field(default_factory=dict)  # summed over workers
    worker_peak_bytes: int = 0
    enrolled_pictures: int = 0  # in the sealed gallery
    poison: dict[str, str] = field(default_factory=dict)  # shards to be withheld as a whole, and why

    @property
    def config(self) -> ReleaseConfig:
        """The run's configuration."""
        return self.context.config

    @property
    def counts(self) -> Counts:
        """Sums over all shards that are done."""
        return sum((manifest.counts for manifest in self.manifests.values()), Counts())

    @property
    def withheld_shards(self) -> list[str]:
        """Shards that are withheld as a whole."""
        return sorted(shard for shard, manifest in self.manifests.items() if manifest.withheld)

    @property
    def key_fingerprints(self) -> list[str]:
        """Of the keys behind the released faces: one, or one more for every time a run with a discarded key resumed."""
        return sorted({manifest.key_fingerprint for manifest in self.manifests.values()})

    def seal(self, gallery_digest: str) -> None:
        """Tell the workers of the next stages which gallery they use."""
        self.context = replace(self.context, gallery_digest=gallery_digest)

    def note_worker(self, stage: str, seconds: dict[str, float], peak_bytes: int) -> None:
        """Add one shard's times and memory."""
        for step, value in seconds.items():
            name = f"{stage}.{step}"
            self.step_seconds[name] = round(self.step_seconds.get(name, 0.0) + value, 3)
        self.worker_peak_bytes = max(self.worker_peak_bytes, peak_bytes)

    def save(self, status: str | None = None) -> None:
        """Write `run.json`."""
        self.status = status or self.status
        write_run_record(self.storage, self.record())

    def finish(self, status: str) -> None:
        """Write `run.json` for the last time; no worker is writing any more."""
        self.save(status)
        self.storage.clear_scratch()

    def record(self) -> dict[str, Any]:
        """What `run.json` says."""
        return {
            "run_id": self.context.run_id,
            "status": self.status,
            "started_at": self.started_at,
            "written_at": now(),
            "config": config_record(self.config),
            "config_digest": self.context.config_digest,
            "key_fingerprints": self.key_fingerprints,
            "key_kept": self.config.run.key_file is not None,
            "gallery_digest": self.context.gallery_digest,
            "format": self.plan.format,
            "shards": {
                "planned": len(self.plan.items),
                "done": len(self.manifests) - len(self.withheld_shards),
                "withheld": len(self.withheld_shards),
            },
            "ignored_files": dict(self.plan.ignored),
            "counts": self.counts.model_dump(),
            "stage_seconds": self.stage_seconds,
            "step_seconds": self.step_seconds,
            "peak_memory_bytes": {"driver": peak_memory_bytes(), "largest_worker": self.worker_peak_bytes},
            "versions": dict(versions()),
        }


def dry_run(config: ReleaseConfig) -> Plan:
    """The plan that `open_run` would follow; nothing is written."""
    check_database(config)
    kept = config.run.key_file
    return make_plan(config, SeedKey.from_file(Path(kept)).fingerprint if kept else "", write=False)


def open_run(config: ReleaseConfig, tools: type[Tools] = RealTools, drawn: SeedKey | None = None) -> Run:
    """Plan a run and claim its destination; nothing of the destination's data is changed yet.

    Without a key file the key is drawn, or the one is used that was `drawn` before in the same job.
    """
    check_database(config)
    kept = config.run.key_file
    key = SeedKey.from_file(Path(kept)) if kept else drawn or SeedKey.random()
    fingerprint = key.fingerprint if kept else ""
    plan = make_plan(config, fingerprint)
    storage = open_storage(config.destination.uri)
    storage.clear_scratch()
    digest = config.digest(fingerprint)
    previous = read_run_record(storage) or {}
    # An interrupted or repeated run of one configuration keeps its id, so that its evidence stays one.
    run_id = str(previous["run_id"]) if previous.get("config_digest") == digest else _new_id()
    context = JobContext(config, tools, key, run_id, digest, obscure=plan.obscure)
    run = Run(context, plan, storage, now(), manifests=dict(plan.done))
    run.save("running")
    return run


def reopen_run(config: ReleaseConfig, tools: type[Tools] = RealTools) -> Run:
    """A finished run, to be judged (again); InputError when the destination is not complete."""
    items, manifests, data_format = finished(config)
    storage = open_storage(config.destination.uri)
    previous = read_run_record(storage) or {}
    digest = str(previous.get("config_digest", ""))
    plan = Plan(data_format, items, manifests, {})
    # The key of the anonymizer is not needed to judge it, and most often nobody has it.
    context = JobContext(config, tools, SeedKey.random(), str(previous.get("run_id", "")) or _new_id(), digest)
    return Run(context, plan, storage, now(), manifests=dict(manifests))


def forget_release(run: Run) -> None:
    """Withdraw the seal of an earlier release before anything it vouches for is changed."""
    run.storage.delete(RELEASE_FILE)
    for shard in stale_records(run.storage, run.plan.items):
        for path in (ledger_path(shard), quarantine_path(shard), obscure_path(shard)):
            run.storage.delete(path)
        delete_manifest(run.storage, shard)


def read_run_record(storage: Storage) -> dict[str, Any] | None:
    """What `run.json` says; None when there is none."""
    try:
        record = json.loads(read_bytes(storage, RUN_FILE))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def write_run_record(storage: Storage, record: Mapping[str, Any]) -> None:
    """Write `run.json`, whole."""
    write_bytes(storage, RUN_FILE, json.dumps(record, indent=2, sort_keys=True).encode() + b"\n")


def config_record(config: ReleaseConfig) -> dict[str, Any]:
    """The configuration as it may be published: without the places of secrets and private files."""
    values = config.model_dump(mode="json")
    for private in _PRIVATE:
        values["run"][private] = None if values["run"][private] is None else "(given)"
    return values


def recorded_config(storage: Storage) -> dict[str, Any] | None:
    """The configuration a destination was made with, without private places; None when there is no record."""
    config = (read_run_record(storage) or {}).get("config")
    if not isinstance(config, dict):
        return None
    for private in _PRIVATE:
        config.get("run", {}).pop(private, None)
    return config


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@cache
def versions() -> Mapping[str, str]:
    """Versions of what took part; looked up once, because every stage writes them down."""
    found = {"python": platform.python_version(), "cfanet": code_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return MappingProxyType(found)


def _new_id() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
