"""The stages of a release, as the driver runs them: enrol, anonymize, audit, report. The driver alone writes SQL."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any

from audit.calibration import Calibration
from audit.calibration_store import calibrated
from audit.evidence import Evidence
from audit.gallery import Snapshot, gallery_rows, has_shard, seal
from audit.gate import Verdict, decide
from audit.metrics import measure
from audit.records import ModelInfo, RunInfo
from audit.release import ReleaseContents, file_digests, settle_release
from audit.report import build_report, write_report
from cfanet.errors import CfanetError
from cfanet.records import Recognizer
from jobs.anonymize import AnonymizeWorker
from jobs.attacks import forget_probes, run_attacks
from jobs.audit import AuditContext, AuditWorker
from jobs.codecs.shard import WorkItem
from jobs.config import canonical_json, code_version
from jobs.enrol import EnrolWorker, stamp_of
from jobs.leaks import LeakScanner
from jobs.manifest import Counts
from jobs.pipeline import run_stage
from jobs.plan import RELEASE_FILE, finished
from jobs.progress import Progress
from jobs.run import Run, config_record, forget_release, now
from jobs.storage import PRIVATE_FOLDER
from jobs.verify import write_run_chain
from jobs.worker import JobContext

ENROL, ANONYMIZE, AUDIT = "enrol the originals", "anonymize", "audit"


@dataclass(frozen=True, eq=False)
class Bench:
    """The judges and what similarity means to each of them."""

    judges: Mapping[str, Recognizer]
    calibrations: tuple[Calibration, ...]


Noted = Callable[[str, dict[str, float], int], None]
"""Takes a stage's name, a worker's seconds by step, and its peak memory in bytes."""


def enrol(run: Run, progress: Progress) -> Snapshot:
    """Put the faces of all originals into the private gallery, and seal it."""
    with _timed(run, "enrol"):
        snapshot = enrol_items(run.context, run.plan.items, progress, run.note_worker)
        run.seal(snapshot.sha256)
        return snapshot


def enrol_items(context: JobContext, items: Sequence[WorkItem], progress: Progress, note: Noted) -> Snapshot:
    """Enrol the items that the gallery does not hold as they are now, and seal it."""
    directory = context.config.gallery_dir
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    todo = [item for item in items if not has_shard(directory, item.shard, stamp_of(context, item))]
    failures: dict[str, str] = {}
    with progress.stage(ENROL, len(todo), len(items) - len(todo)) as stage:
        for report in run_stage(EnrolWorker, context, todo):
            if report.result is None:
                failures[report.shard] = report.error
                continue
            note("enrol", report.result.seconds, report.result.peak_memory_bytes)
            stage.advance(Counts(pictures=report.result.pictures, faces=report.result.faces))
    _raise_failures(ENROL, failures)
    return seal(directory)


def anonymize(run: Run, progress: Progress) -> None:
    """Make every shard that is not done yet, and note the manifest of each."""
    with _timed(run, "anonymize"):
        todo = run.plan.todo
        if todo:
            forget_release(run)
        failures: dict[str, str] = {}
        with progress.stage(ANONYMIZE, len(todo), len(run.manifests)) as stage:
            for report in run_stage(AnonymizeWorker, run.context, todo):
                if report.result is None:
                    failures[report.shard] = report.error
                    continue
                run.manifests[report.shard] = report.result
                run.note_worker("anonymize", report.result.seconds, report.result.peak_memory_bytes)
                stage.advance(report.result.counts)
        _raise_failures(ANONYMIZE, failures)


def calibrate_judges(run: Run, progress: Progress) -> Bench:
    """Load the judges and take their thresholds; done early, so that a missing one does not cost a whole run."""
    with _timed(run, "calibrate"):
        settings = run.config.audit
        judges = run.context.tools(run.config).judges()
        calibrations = tuple(
            calibrated(judge, run.config.gallery_dir, run.context.gallery_digest, settings) for judge in judges.values()
        )
        for found in calibrations:
            text = f"judge {found.recognizer}: same person from similarity {found.threshold:.3f} on"
            progress.say(f"{text} (FMR {found.fmr:g}, {found.source})")
        return Bench(judges, calibrations)


def audit(run: Run, snapshot: Snapshot, bench: Bench, progress: Progress) -> Verdict:
    """Judge what was released: comparisons, evidence, verdict, report; RELEASE.json only on a pass."""
    with _timed(run, "audit"):
        # Read back from the destination: what this run believes to have written does not count.
        _, run.manifests, _ = finished(run.config)
        thresholds = {found.recognizer: found.threshold for found in bench.calibrations}
        context = AuditContext(**_values(run.context), thresholds=thresholds)
        forget_probes(run.config)
        run_id, failures = run.context.run_id, {}
        with Evidence(run.config.database_url) as evidence:
            evidence.begin_run(_run_info(run, bench.judges))
            evidence.write_gallery(run_id, snapshot, gallery_rows(run.config.gallery_dir))
            evidence.write_thresholds(run_id, bench.calibrations)
            with progress.stage(AUDIT, len(run.plan.items)) as stage:
                for report in run_stage(AuditWorker, context, run.plan.items):
                    if report.result is None:
                        failures[report.shard] = report.error
                        continue
                    evidence.write_shard(run_id, report.result.shard)
                    run.note_worker("audit", report.result.seconds, report.result.peak_memory_bytes)
                    examined = report.result.shard.pictures
                    stage.advance(Counts(pictures=len(examined), faces=sum(len(p.faces) for p in examined)))
            _raise_failures(AUDIT, failures)
            scanner = LeakScanner(run.config)
            evidence.write_findings(run_id, scanner.strays(run.storage, run.manifests.values(), RELEASE_FILE))
            evidence.write_attacks(run_id, run_attacks(run.config, list(bench.judges)))
            return _conclude(run, evidence)


def report(run: Run) -> Verdict:
    """Decide and report again from the evidence of an earlier audit."""
    with _timed(run, "report"), Evidence(run.config.database_url) as evidence:
        return _conclude(run, evidence)


def _conclude(run: Run, evidence: Evidence) -> Verdict:
    """Gate, report, and RELEASE.json last."""
    run_id, settings = run.context.run_id, run.config.audit
    root = run.storage.root
    rows = evidence.read_run(run_id)
    measured = measure(rows, settings)
    verdict = decide(measured, settings.gate, rows)
    finished_at = now()
    evidence.finish_run(run_id, measured.metrics, verdict, finished_at)
    write_report(build_report(rows, measured, verdict, settings, finished_at), root / PRIVATE_FOLDER)
    head = write_run_chain(run.storage, run_id, evidence)
    settle_release(root / RELEASE_FILE, verdict, replace(_contents(run, evidence, finished_at), chain_head=head))
    return verdict


def _contents(run: Run, evidence: Evidence, generated_at: str) -> ReleaseContents:
    """Digests of everything that RELEASE.json vouches for."""
    root = run.storage.root
    private = root / PRIVATE_FOLDER
    files = [path for name in ("manifest", "ledger", "quarantine") for path in sorted((private / name).rglob("*.*"))]
    files += [private / name for name in ("report.json", "report.html")]
    return ReleaseContents(
        run_id=run.context.run_id,
        released_at=generated_at,
        shards={output.path: output.sha256 for manifest in run.manifests.values() for output in manifest.outputs},
        evidence=file_digests(root, [path for path in files if path.is_file()]),
        sql_digest=evidence.digest(run.context.run_id),
    )


def _run_info(run: Run, judges: Mapping[str, Recognizer]) -> RunInfo:
    config = run.config
    loop = run.context.tools(config).loop_recognizers()
    models = [
        ModelInfo(config.anonymize.detector.name, "detector", ""),
        ModelInfo(config.audit.second_detector, "second_detector", ""),
    ]
    models += [ModelInfo(name, "auditor", judge.digest, judge.dim) for name, judge in judges.items()]
    models += [ModelInfo(name, "loop_recognizer", judge.digest, judge.dim) for name, judge in loop.items()]
    digests = sorted({manifest.model_digest for manifest in run.manifests.values()})
    method = config.anonymize.method
    names = [method if len(digests) == 1 else f"{method}-{number}" for number in range(len(digests))]
    models += [ModelInfo(name, "anonymizer", digest) for name, digest in zip(names, digests, strict=True)]
    return RunInfo(
        run_id=run.context.run_id,
        kind="release",
        source_uri=config.source.uri,
        output_uri=config.destination.uri,
        data_format=run.plan.format,
        started_at=run.started_at,
        config_json=canonical_json(config_record(config)),
        code_version=code_version(),
        key_fingerprint=",".join(run.key_fingerprints),
        models=tuple(models),
    )


def _values(context: JobContext) -> dict[str, Any]:
    return {f.name: getattr(context, f.name) for f in fields(context)}


def _raise_failures(stage: str, failures: Mapping[str, str]) -> None:
    if failures:
        shard, reason = next(iter(sorted(failures.items())))
        raise CfanetError(
            f"{stage}: {len(failures)} shards failed, the first is {shard!r} ({reason}); "
            "what is finished is kept, run the same command again for the rest"
        )


@contextmanager
def _timed(run: Run, stage: str) -> Iterator[None]:
    started = time.perf_counter()
    try:
        yield
    finally:
        run.stage_seconds[stage] = round(time.perf_counter() - started, 3)
        run.save()
