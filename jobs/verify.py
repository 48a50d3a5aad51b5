"""Does a destination still hold what was judged? Files, SQL rows and RELEASE.json against the hash chain."""

import json
from dataclasses import dataclass

from audit.chain import Link, broken_links, build_chain, chain_text, head_of, parse_chain
from audit.evidence import Evidence
from cfanet.errors import GateRefused, InputError
from jobs.config import ReleaseConfig
from jobs.evidence_file import EVIDENCE_FILE, stored_evidence
from jobs.plan import RELEASE_FILE, RUN_FILE
from jobs.storage import PRIVATE_FOLDER, Storage, open_storage, read_bytes, sha256_of, write_bytes

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


def write_run_chain(destination: Storage, run_id: str, evidence: Evidence) -> str:
    """Chain all files and the run's SQL rows, write the chain, and return its head."""
    links = build_chain(_files(destination), evidence.table_digests(run_id))
    write_bytes(destination, CHAIN_FILE, chain_text(run_id, links).encode())
    return head_of(links)


def verify(config: ReleaseConfig, expected_head: str | None = None) -> Verified:
    """Check everything again; GateRefused, naming the first places, when anything differs.

    InputError when there is no chain. `expected_head` is the head that somebody noted elsewhere.
    """
    destination = open_storage(config.destination.uri)
    where = f"{config.destination.uri}/{CHAIN_FILE}"
    try:
        run_id, links = parse_chain(read_bytes(destination, CHAIN_FILE), where)
    except FileNotFoundError as error:
        raise InputError(f"{where} is not there: run `cfanet audit` first") from error
    try:
        with stored_evidence(config, destination) as url, Evidence(url) as evidence:
            tables = evidence.table_digests(run_id)
    except InputError:  # no evidence, or not of this run: its tables are missing
        tables = {}
    problems = list(broken_links(links, _files(destination), tables))
    sealed = _sealed_head(destination)
    if sealed is not None and sealed != head_of(links):
        problems.append(f"{RELEASE_FILE} names another chain")
    if expected_head is not None and expected_head != head_of(links):
        problems.append(f"the chain's head is {head_of(links)}, not the expected one")
    if problems:
        more = f", and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise GateRefused(f"the evidence of {config.destination.uri} does not hold: {'; '.join(problems[:5])}{more}")
    return Verified(run_id, head_of(links), _count(links, "file"), _count(links, "sql"), sealed is not None)


def _files(destination: Storage) -> dict[str, str]:
    """Digests of every file of the destination but the chain, the seal, run.json and an SQLite database."""
    paths = [entry.path for folder in ("", PRIVATE_FOLDER) for entry in destination.list(folder)]
    skipped = (EVIDENCE_FILE, f"{PRIVATE_FOLDER}/tmp/")
    kept = [path for path in paths if path not in _NOT_CHAINED and not path.startswith(skipped)]
    return {path: sha256_of(destination, path) for path in kept}


def _sealed_head(destination: Storage) -> str | None:
    try:
        return str(json.loads(read_bytes(destination, RELEASE_FILE)).get("chain_sha256", ""))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise GateRefused(f"{destination.uri}/{RELEASE_FILE} is damaged: it cannot be read as JSON") from error


def _count(links: tuple[Link, ...], kind: str) -> int:
    return sum(link.kind == kind for link in links)
