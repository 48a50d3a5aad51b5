"""The stages of a release, as the driver runs them: enrol, anonymize, audit, report. The driver alone writes SQL."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from audit.calibration import Calibration
from audit.calibration_store import calibrated
from audit.evidence import Evidence
from audit.gallery import ShardStamp, Snapshot, gallery_rows, has_shard, seal, snapshot_of, write_shard
from audit.gate import Verdict
from audit.records import ModelInfo, RunInfo
from cfanet.errors import CfanetError
from cfanet.records import Recognizer
from jobs.anonymize import AnonymizeWorker
from jobs.attacks import forget_probes, run_attacks
from jobs.audit import AuditContext, AuditResult, AuditWorker
from jobs.codecs.shard import WorkItem
from jobs.conclude import conclude, settle
from jobs.config import ReleaseConfig, canonical_json, code_version
from jobs.enrol import Enrolled, EnrolWorker, stamp_of
from jobs.evidence_file import evidence_url
from jobs.gallery_store import GalleryStore, named_galleries
from jobs.leaks import LeakScanner
from jobs.manifest import Counts, Manifest
from jobs.pipeline import ShardReport, run_stage
from jobs.plan import RELEASE_FILE, finished
from jobs.progress import Progress, StageProgress
from jobs.run import Run, config_record, forget_release
from jobs.underway import underway
from jobs.withhold import WithholdContext, WithholdWorker
from jobs.worker import JobContext, StageContext, Worker

R = TypeVar("R")
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
        snapshot, failures = enrol_items(run.context, run.plan.examined, progress, run.note_worker)
        run.poison |= _poison(ENROL, failures, len(run.plan.examined))
        run.seal(snapshot.sha256)
        run.enrolled_pictures = snapshot.n_pictures
        return snapshot


def enrol_items(
    context: JobContext, items: Sequence[WorkItem], progress: Progress, note: Noted
) -> tuple[Snapshot, dict[str, ShardReport[Any]]]:
    """Enrol the items that the gallery does not hold as they are now, and seal it; returns what failed as well."""
    gallery = GalleryStore(context.config.gallery_uri)
    gallery.create()
    with gallery.whole() as folder:
        todo = [item for item in items if not has_shard(folder, item.shard, stamp_of(context, item))]
    with progress.stage(ENROL, len(todo), len(items) - len(todo)) as stage:

        def take(shard: str, done: Enrolled) -> None:
            note("enrol", done.seconds, done.peak_memory_bytes)
            stage.advance(Counts(pictures=done.pictures, faces=done.faces))

        failures = run_items(EnrolWorker, context, todo, take, stage)
    for shard in failures:  # nobody of it can be recognised, and nothing of it will be released
        with gallery.draft(shard) as folder:
            write_shard(folder, shard, [], ShardStamp("not enrolled", ""))
    with gallery.whole() as folder:
        return seal(folder), failures


def anonymize(run: Run, progress: Progress) -> None:
    """Make every shard that is not done yet, or withhold it as a whole, and note the manifest of each.

    CfanetError when some are neither: nothing is ever left out.
    """
    with _timed(run, "anonymize"):
        todo = [item for item in run.plan.todo if item.shard not in run.poison]
        if run.plan.todo:
            forget_release(run)
        expected = max(0, run.enrolled_pictures - run.counts.pictures)
        with progress.stage(ANONYMIZE, len(todo), len(run.manifests), expected) as stage:

            def take(shard: str, done: Manifest) -> None:
                run.manifests[shard] = done
                run.note_worker("anonymize", done.seconds, done.peak_memory_bytes)
                stage.advance(done.counts)

            failures = run_items(AnonymizeWorker, run.context, todo, take, stage)
        run.poison |= _poison(ANONYMIZE, failures, len(todo))
        _withhold(run, progress)
        missing = {item.shard: "it has no manifest" for item in run.plan.items if item.shard not in run.manifests}
        raise_failures(ANONYMIZE, missing)


def _withhold(run: Run, progress: Progress) -> None:
    """Record the shards that broke their workers as withheld."""
    items = [item for item in run.plan.items if item.shard in run.poison]
    if not items:
        return
    for item in items:
        progress.say(f"shard {item.shard!r} is withheld as a whole: {run.poison[item.shard]}")
    context = WithholdContext(**_values(run.context), reasons=dict(run.poison))
    failures = run_items(WithholdWorker, context, items, run.manifests.__setitem__)
    raise_failures(ANONYMIZE, {shard: report.error for shard, report in failures.items()})


def run_items(
    worker: type[Worker[R]],
    context: StageContext,
    items: Sequence[WorkItem],
    take: Callable[[str, R], None],
    shown: StageProgress | None = None,
) -> dict[str, ShardReport[Any]]:
    """Run a stage; what failed without killing its worker is tried once more at the end. Returns what failed."""
    failed: dict[str, ShardReport[Any]] = {}
    if shown is not None:
        shown.watch(lambda: underway(worker.__name__))
    for again in (False, True):
        todo = [item for item in items if item.shard in failed and not failed[item.shard].died] if again else items
        for report in run_stage(worker, context, todo):
            if report.result is None:
                failed[report.shard] = report
            else:
                failed.pop(report.shard, None)
                take(report.shard, report.result)
    return failed


def _poison(stage: str, failures: Mapping[str, ShardReport[Any]], tried: int) -> dict[str, str]:
    """Shards to be withheld, and why; raises when it is not their fault: storage, configuration, all fail."""
    others = {shard: report.error for shard, report in failures.items() if not report.poison}
    raise_failures(stage, others)
    reasons = {shard: report.error for shard, report in failures.items()}
    if 1 < len(reasons) == tried:
        raise_failures(stage, reasons)
    return reasons


def calibrate_judges(run: Run, progress: Progress) -> Bench:
    """Load the judges and take their thresholds; done early, so that a missing one does not cost a whole run."""
    with _timed(run, "calibrate"):
        settings = run.config.audit
        judges = run.context.tools(run.config.for_driver()).judges()
        with GalleryStore(run.config.gallery_uri).whole() as folder:
            calibrations = tuple(
                calibrated(judge, folder, run.context.gallery_digest, settings) for judge in judges.values()
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
        released = {shard: why for shard, why in run.poison.items() if not run.manifests[shard].withheld}
        raise_failures(ENROL, released)  # who could be recognised in them is not known: they cannot be judged
        thresholds = {found.recognizer: found.threshold for found in bench.calibrations}
        context = AuditContext(**_values(run.context), thresholds=thresholds)
        forget_probes(run.config)
        run_id = run.context.run_id
        with evidence_url(run.config, run.storage) as url, Evidence(url) as evidence:
            evidence.begin_run(_run_info(run, bench.judges))
            with GalleryStore(run.config.gallery_uri).whole() as folder:
                evidence.write_gallery(run_id, snapshot, gallery_rows(folder))
            evidence.write_outside(run_id, _outside(run.config))
            evidence.write_thresholds(run_id, bench.calibrations)
            with progress.stage(AUDIT, len(run.plan.items), expected=run.counts.pictures) as stage:

                def take(_: str, done: AuditResult) -> None:
                    evidence.write_shard(run_id, done.shard)
                    run.note_worker("audit", done.seconds, done.peak_memory_bytes)
                    faces = sum(len(picture.faces) for picture in done.shard.pictures)
                    stage.advance(Counts(pictures=len(done.shard.pictures), faces=faces))

                failures = run_items(AuditWorker, context, run.plan.items, take, stage)
            raise_failures(AUDIT, {shard: report.error for shard, report in failures.items()})
            scanner = LeakScanner(run.config)
            evidence.write_findings(run_id, scanner.strays(run.storage, run.manifests.values(), RELEASE_FILE))
            evidence.write_attacks(run_id, run_attacks(run.config, list(bench.judges)))
            conclusion = conclude(run, evidence)
        settle(run, conclusion)
        return conclusion.verdict


def _outside(config: ReleaseConfig) -> dict[str, Snapshot]:
    """Which states of the other galleries are searched; nothing is written there."""
    found = {}
    for name, uri in named_galleries(config.audit.outside_galleries).items():
        with GalleryStore(uri).whole() as folder:
            found[name] = snapshot_of(folder)
    return found


def report(run: Run) -> Verdict:
    """Decide and report again from the evidence of an earlier audit."""
    with _timed(run, "report"):
        with evidence_url(run.config, run.storage) as url, Evidence(url) as evidence:
            conclusion = conclude(run, evidence)
        settle(run, conclusion)
        return conclusion.verdict


def _run_info(run: Run, judges: Mapping[str, Recognizer]) -> RunInfo:
    config = run.config
    tools = run.context.tools(config.for_driver())
    loop, guides = tools.loop_recognizers(), tools.training_guides()
    models = [
        ModelInfo(config.anonymize.detector.name, "detector", ""),
        ModelInfo(config.audit.second_detector, "second_detector", ""),
    ]
    models += [ModelInfo(name, "auditor", judge.digest, judge.dim) for name, judge in judges.items()]
    models += [ModelInfo(name, "loop_recognizer", judge.digest, judge.dim) for name, judge in loop.items()]
    models += [ModelInfo(name, "training_guide", digest) for name, digest in guides.items()]
    digests = sorted({manifest.model_digest for manifest in run.manifests.values() if manifest.model_digest})
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
        identity=config.anonymize.identity,
        models=tuple(models),
    )


def _values(context: JobContext) -> dict[str, Any]:
    return {f.name: getattr(context, f.name) for f in fields(context)}


def raise_failures(stage: str, failures: Mapping[str, str]) -> None:
    """CfanetError that names the first of the shards that failed, by name; nothing where none did."""
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
