"""Does a destination still hold what was judged? Files, SQL rows and RELEASE.json against the hash chain."""

import json
from dataclasses import dataclass
from pathlib import Path

from audit.chain import Link, broken_links, build_chain, head_of, read_chain, write_chain
from audit.evidence import Evidence
from cfanet.errors import GateRefused, InputError
from jobs.config import ReleaseConfig
from jobs.leaks import files_digests
from jobs.plan import RELEASE_FILE, RUN_FILE
from jobs.storage import PRIVATE_FOLDER, LocalStorage, open_storage

CHAIN_FILE = f"{PRIVATE_FOLDER}/chain.json"
_NOT_CHAINED = {CHAIN_FILE, RELEASE_FILE, RUN_FILE}


@dataclass(frozen=True)
class Verified:
    """A chain that holds."""

    run_id: str
    head: str
    n_files: int
    n_tables: int
    sealed: bool  # RELEASE.json is there and names this head


def write_run_chain(destination: LocalStorage, run_id: str, evidence: Evidence) -> str:
    """Chain all files and the run's SQL rows, write the chain, and return its head."""
    links = build_chain(_files(destination), evidence.table_digests(run_id))
    write_chain(destination.root / CHAIN_FILE, run_id, links)
    return head_of(links)


def verify(config: ReleaseConfig, expected_head: str | None = None) -> Verified:
    """Check everything again; GateRefused, naming the first places, when anything differs.

    InputError when there is no chain. `expected_head` is the head that somebody noted elsewhere.
    """
    destination = open_storage(config.destination.uri)
    run_id, links = read_chain(destination.root / CHAIN_FILE)
    with Evidence(config.database_url) as evidence:
        try:
            tables = evidence.table_digests(run_id)
        except InputError:
            tables = {}
    problems = list(broken_links(links, _files(destination), tables))
    sealed = _sealed_head(destination.root / RELEASE_FILE)
    if sealed is not None and sealed != head_of(links):
        problems.append(f"{RELEASE_FILE} names another chain")
    if expected_head is not None and expected_head != head_of(links):
        problems.append(f"the chain's head is {head_of(links)}, not the expected one")
    if problems:
        more = f", and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise GateRefused(f"the evidence of {config.destination.uri} does not hold: {'; '.join(problems[:5])}{more}")
    return Verified(run_id, head_of(links), _count(links, "file"), _count(links, "sql"), sealed is not None)


def _files(destination: LocalStorage) -> dict[str, str]:
    """Digests of every file of the destination but the chain, the seal, run.json and an SQLite database."""
    root = destination.root
    paths = [path.relative_to(root).as_posix() for path in sorted(root.rglob("*")) if path.is_file()]
    skipped = (f"{PRIVATE_FOLDER}/evidence.sqlite", f"{PRIVATE_FOLDER}/tmp/")
    return files_digests(root, [p for p in paths if p not in _NOT_CHAINED and not p.startswith(skipped)])


def _sealed_head(path: Path) -> str | None:
    try:
        return str(json.loads(path.read_text(encoding="utf-8")).get("chain_sha256", ""))
    except OSError:
        return None
    except ValueError as error:
        raise GateRefused(f"{path} is damaged: it cannot be read as JSON") from error


def _count(links: tuple[Link, ...], kind: str) -> int:
    return sum(link.kind == kind for link in links)
