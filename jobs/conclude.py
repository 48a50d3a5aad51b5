"""The end of an audit: gate, report, and RELEASE.json as the very last thing that is written."""

from dataclasses import dataclass, replace
from pathlib import Path

from audit.evidence import Evidence
from audit.gate import Verdict, decide
from audit.metrics import measure
from audit.release import ReleaseContents, release_text
from audit.report import build_report, render, report_json
from jobs.plan import RELEASE_FILE
from jobs.review import write_review
from jobs.run import Run, now
from jobs.storage import PRIVATE_FOLDER, sha256_of, write_bytes
from jobs.verify import write_run_chain

REPORT_FILES = (f"{PRIVATE_FOLDER}/report.json", f"{PRIVATE_FOLDER}/report.html")
_RECORDS = ("manifest", "ledger", "quarantine")


@dataclass(frozen=True)
class Conclusion:
    """What was decided, and what a seal would vouch for."""

    verdict: Verdict
    contents: ReleaseContents


def conclude(run: Run, evidence: Evidence) -> Conclusion:
    """Decide from the evidence, record the decision there, and write the report."""
    run_id, settings = run.context.run_id, run.config.audit
    rows = evidence.read_run(run_id)
    measured = measure(rows, settings)
    verdict = decide(measured, settings.gate, rows)
    finished_at = now()
    evidence.finish_run(run_id, measured.metrics, verdict, finished_at)
    report = build_report(rows, measured, verdict, settings, finished_at)
    for path, text in zip(REPORT_FILES, (report_json(report), render(report)), strict=True):
        write_bytes(run.storage, path, text.encode())
    if run.config.run.review is not None:
        write_review(run, report, Path(run.config.run.review))
    head = write_run_chain(run.storage, run_id, evidence)
    return Conclusion(verdict, replace(_contents(run, evidence.digest(run_id), finished_at), chain_head=head))


def settle(run: Run, conclusion: Conclusion) -> None:
    """Write RELEASE.json when the verdict passed; remove a stale one when it did not."""
    if conclusion.verdict.passed:
        write_bytes(run.storage, RELEASE_FILE, release_text(conclusion.verdict, conclusion.contents).encode())
    else:
        run.storage.delete(RELEASE_FILE)


def _contents(run: Run, sql_digest: str, generated_at: str) -> ReleaseContents:
    """Digests of everything that RELEASE.json vouches for."""
    records = [entry.path for name in _RECORDS for entry in run.storage.list(f"{PRIVATE_FOLDER}/{name}")]
    return ReleaseContents(
        run_id=run.context.run_id,
        released_at=generated_at,
        shards={output.path: output.sha256 for manifest in run.manifests.values() for output in manifest.outputs},
        evidence={path: sha256_of(run.storage, path) for path in sorted((*records, *REPORT_FILES))},
        sql_digest=sql_digest,
        policy=run.config.audit.gate.model_dump(mode="json"),
    )
