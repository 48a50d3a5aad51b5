"""RELEASE.json: the promise that the gate passed, bound to the bytes it was given for. Written last, or not at all."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from audit.files import write_text
from audit.gate import Verdict

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class ReleaseContents:
    """What is released: relative paths and SHA-256 digests."""

    run_id: str
    released_at: str  # ISO 8601 in UTC
    shards: Mapping[str, str]  # released shard -> digest
    evidence: Mapping[str, str]  # ledger, quarantine, run.json, report files -> digest
    sql_digest: str  # Evidence.digest(run_id)
    chain_head: str = ""  # of the chain over all evidence (audit.chain)
    policy: Mapping[str, Any] = field(default_factory=dict)  # the limits that decided, and at which confidence


def release_text(verdict: Verdict, contents: ReleaseContents) -> str:
    """The text of RELEASE.json; ValueError when the verdict did not pass: there is nothing to promise."""
    if not verdict.passed:
        raise ValueError("the gate refused: RELEASE.json must not be written")
    document = {
        "schema": SCHEMA_VERSION,
        "run": contents.run_id,
        "released_at": contents.released_at,
        "shards": dict(contents.shards),
        "evidence": dict(contents.evidence),
        "sql_sha256": contents.sql_digest,
        "chain_sha256": contents.chain_head,
        "policy": dict(contents.policy),
        "checks": {check.name: check.passed for check in verdict.checks if check.decides},
    }
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def settle_release(path: Path, verdict: Verdict, contents: ReleaseContents) -> bool:
    """Write RELEASE.json when the verdict passed; remove a stale one when it did not. Returns whether it is there."""
    if not verdict.passed:
        path.unlink(missing_ok=True)
        return False
    write_text(path, release_text(verdict, contents))
    return True


def file_digests(root: Path, paths: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of files by their path relative to `root`, with forward slashes."""
    digests = {}
    for path in paths:
        with path.open("rb") as file:
            digests[path.relative_to(root).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return dict(sorted(digests.items()))
