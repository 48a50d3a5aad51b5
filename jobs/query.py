"""Answers to ready-made questions, as a table for a terminal."""

from rich.table import Table

from audit.evidence import Evidence
from cfanet.errors import InputError
from jobs.config import ReleaseConfig
from jobs.evidence_file import stored_evidence
from jobs.run import read_run_record
from jobs.storage import open_storage


def answer(config: ReleaseConfig, name: str) -> Table:
    """One query about the latest run of a destination; InputError for an unknown name or unjudged data."""
    destination = open_storage(config.destination.uri)
    run_id = str((read_run_record(destination) or {}).get("run_id", ""))
    if not run_id:
        raise InputError(f"DST {config.destination.uri} was never judged: run `cfanet audit` first")
    with stored_evidence(config, destination) as url, Evidence(url) as evidence:
        columns, rows = evidence.ask(name, run_id)
    table = Table(*columns, box=None, header_style="bold", title=f"{name}: {len(rows)} rows")
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row))
    return table
