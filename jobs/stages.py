"""The stages of a release, as the driver runs them: enrol, anonymize, audit, report. The driver alone writes SQL."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

from audit.calibration import Calibration, calibrate
from audit.evidence import Evidence
from audit.gallery import Snapshot, gallery_rows, has_shard, open_gallery, seal
from audit.gate import Verdict
from audit.records import ModelInfo, RunInfo
from cfanet.errors import CfanetError
from cfanet.records import Recognizer
from jobs.anonymize import AnonymizeWorker
from jobs.audit import AuditContext, AuditWorker
from jobs.codecs.shard import WorkItem
from jobs.conclude import conclude, settle
from jobs.config import canonical_json, code_version
from jobs.enrol import EnrolWorker, stamp_of
from jobs.evidence_file import evidence_url
from jobs.gallery_store import GalleryStore
from jobs.manifest import Counts
from jobs.pipeline import run_stage
from jobs.plan import finished
from jobs.progress import Progress
from jobs.run import Run, config_record, forget_release
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
    gallery = GalleryStore(context.config.gallery_uri)
    gallery.create()
    with gallery.whole() as folder:
        todo = [item for item in items if not has_shard(folder, item.shard, stamp_of(context, item))]
    failures: dict[str, str] = {}
    with progress.stage(ENROL, len(todo), len(items) - len(todo)) as stage:
        for report in run_stage(EnrolWorker, context, todo):
            if report.result is None:
                failures[report.shard] = report.error
                continue
            note("enrol", report.result.seconds, report.result.peak_memory_bytes)
            stage.advance(Counts(pictures=report.result.pictures, faces=report.result.faces))
    _raise_failures(ENROL, failures)
    with gallery.whole() as folder:
        return seal(folder)


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
        with GalleryStore(run.config.gallery_uri).whole() as folder:
            calibrations = tuple(
                calibrate(judge, open_gallery(folder, name), settings.fmr, settings.gate.confidence)
                for name, judge in judges.items()
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
        run_id, failures = run.context.run_id, {}
        with evidence_url(run.config, run.storage) as url, Evidence(url) as evidence:
            evidence.begin_run(_run_info(run, bench.judges))
            with GalleryStore(run.config.gallery_uri).whole() as folder:
                evidence.write_gallery(run_id, snapshot, gallery_rows(folder))
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
            conclusion = conclude(run, evidence)
        settle(run, conclusion)
        return conclusion.verdict


def report(run: Run) -> Verdict:
    """Decide and report again from the evidence of an earlier audit."""
    with _timed(run, "report"):
        with evidence_url(run.config, run.storage) as url, Evidence(url) as evidence:
            conclusion = conclude(run, evidence)
        settle(run, conclusion)
        return conclusion.verdict


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
