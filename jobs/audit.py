"""Audit of one work item: read what was released, as anybody could, and hand it to the judge with its original."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from audit.gallery import Gallery, open_gallery, read_shard
from audit.reconcile import reconcile
from audit.records import (
    AuditedPicture,
    AuditedShard,
    AuditTask,
    EnrolledPicture,
    Finding,
    LedgerPicture,
)
from audit.verification import Auditor, search_gallery, search_outside
from cfanet.errors import CfanetError
from jobs.attacks import released_faces, write_probes
from jobs.audit_video import first_of_tracks, with_container
from jobs.codecs.shard import Refusal, Sample, WorkItem, printable
from jobs.codecs.video import VideoCodec
from jobs.config import canonical_digest
from jobs.gallery_store import GalleryStore, named_galleries
from jobs.leaks import LeakScanner
from jobs.ledger import read_ledger
from jobs.manifest import Counts, Manifest, read_manifest
from jobs.pictures import enrolled_by_picture, gallery_id, source_pictures, wants_pictures
from jobs.plan import codec_for
from jobs.quarantine import read_quarantine
from jobs.storage import Entry, open_storage, sha256_of
from jobs.timing import Stopwatch, peak_memory_bytes
from jobs.worker import JobContext


@dataclass(frozen=True, eq=False)
class AuditResult:
    """One shard, judged; free of embeddings and pixels."""

    shard: AuditedShard
    seconds: dict[str, float]
    peak_memory_bytes: int


@dataclass(frozen=True)
class AuditContext(JobContext):
    """What an audit's workers are given beyond the usual."""

    thresholds: dict[str, float] = field(default_factory=dict)  # similarity, by judge


class AuditWorker:
    """Audits one work item at a time."""

    def __init__(self, context: JobContext) -> None:
        """Load the judge's models, and the galleries of all originals."""
        if not isinstance(context, AuditContext):
            raise CfanetError("the audit needs calibrated thresholds")
        tools = context.tools(context.config)
        judges = tools.judges()
        self._context = context
        self._scanner = LeakScanner(context.config)
        settings, detector = context.config.audit, tools.second_detector()
        lossy = settings.model_copy(update={"unchanged_tolerance": settings.unchanged_tolerance_video})
        self._auditor = Auditor(judges, detector, context.thresholds, settings)
        self._video_auditor = Auditor(judges, detector, context.thresholds, lossy)
        with GalleryStore(context.config.gallery_uri).whole() as folder:
            self._galleries: dict[str, Gallery] = {name: open_gallery(folder, name) for name in judges}
        self._outside: dict[str, dict[str, Gallery]] = {name: {} for name in judges}
        for outside, uri in named_galleries(context.config.audit.outside_galleries).items():
            with GalleryStore(uri).whole() as folder:
                for name in judges:
                    self._outside[name][outside] = open_gallery(folder, name)

    def process(self, item: WorkItem) -> AuditResult:
        """Examine every released picture of the item and account for every sample of its source."""
        config = self._context.config
        destination = open_storage(config.destination.uri)
        manifest = read_manifest(destination, item.shard)
        if manifest is None:
            raise CfanetError(f"shard {item.shard!r} has no manifest: run `cfanet anonymize` first")
        ledger = {entry.picture.sample_key: entry.picture for entry in read_ledger(destination, item.shard)}
        withheld = [entry.picture for entry in read_quarantine(destination, item.shard)]
        walk = _Walk(self._context, item, manifest, ledger, self._scanner)
        examined: list[AuditedPicture] = []
        released: list[EnrolledPicture] = []
        clock, is_video, tracks = walk.clock, item.format == VideoCodec.name, set[int]()
        auditor = self._video_auditor if is_video else self._auditor
        for tasks in walk.batches(config.run.batch_size):
            with clock.step("examine"):
                found = auditor.audit(tasks)
                released += released_faces(item, first_of_tracks(found, tracks) if is_video else found)
                examined += found
            self._context.worked(Counts(pictures=len(found), faces=sum(len(picture.faces) for picture in found)))
        with clock.step("search"):  # of the whole shard at once: a matrix product with few rows wastes the processor
            found = search_outside(examined, self._outside, self._context.thresholds)
            examined = list(search_gallery(found, self._galleries, self._context.thresholds))
        examined += [AuditedPicture(ledger[key]) for key in withheld if key in ledger]
        if is_video:
            with clock.step("scan"):
                walk.findings += self._scanner.member(item.shard, b"")
                examined = with_container(destination, manifest, examined)
        account = reconcile(walk.source_ids, walk.output_ids, withheld)
        account = replace(account, unexpected=(*account.unexpected, *walk.unrecorded, *walk.altered_files()))
        write_probes(config, item.shard, released)
        shard = AuditedShard(
            item.shard, item.etag, outputs_digest(manifest), account, tuple(examined), tuple(walk.findings)
        )
        return AuditResult(shard, clock.seconds, peak_memory_bytes())


class _Walk:
    """Walks the released shard, with the source beside it: both are in the same order."""

    def __init__(
        self,
        context: AuditContext,
        item: WorkItem,
        manifest: Manifest,
        ledger: dict[str, LedgerPicture],
        scanner: LeakScanner,
    ) -> None:
        self._scanner = scanner
        self.findings: list[Finding] = []
        self._config = context.config
        self._keep = frozenset(context.config.destination.keep_members)
        self._item = item
        self._manifest = manifest
        self._ledger = ledger
        self._position = {picture_id: number for number, picture_id in enumerate(ledger)}
        with GalleryStore(context.config.gallery_uri).shard(item.shard) as folder:
            self._enrolled = enrolled_by_picture(item, read_shard(folder, item.shard, context.thresholds))
        self.clock = Stopwatch()
        self.source_ids: list[str] = []
        self.output_ids: list[str] = []
        self.unrecorded: list[str] = []  # in the output without a row in the ledger

    def batches(self, size: int) -> Iterator[list[AuditTask]]:
        """Tasks for every released picture, about `size` at a time."""
        tasks: list[AuditTask] = []
        for task in self._tasks():
            tasks.append(task)
            if len(tasks) >= size:
                yield tasks
                tasks = []
        if tasks:
            yield tasks

    def _tasks(self) -> Iterator[AuditTask]:
        originals = self._source()
        reached = -1  # position in the ledger of the last sample that was paired
        for released in self._released():
            position = self._position.get(released.picture_id(released.pictures[0]), -1)
            original = None
            if position > reached:
                original = next((sample for sample in originals if sample.key == released.key), None)
                reached = position
            yield from self._sample_tasks(released, original)
        for _ in originals:  # withheld ones at the end: reading on completes `source_ids`
            pass

    def _source(self) -> Iterator[Sample]:
        """Samples of the source that have pictures; notes every id that needs a place."""
        codec = codec_for(self._item.format, self._config)
        wanted = wants_pictures if self._manifest.outputs else _wants_nothing  # nothing to compare them with
        for sample in codec.read(open_storage(self._config.source.uri), self._item, wanted):
            if isinstance(sample, Refusal):
                self.source_ids.append(sample.id)
            elif sample.pictures:
                self.source_ids += [sample.picture_id(member) for member in sample.pictures]
                yield sample
            elif codec.sample_needs_picture and not sample.is_stray and not self._keep & sample.extensions:
                self.source_ids.append(sample.key)

    def _released(self) -> Iterator[Sample]:
        """Samples of the output that have pictures; notes every id found."""
        files = tuple(Entry(output.path, output.size, "") for output in self._manifest.outputs)
        if not files:
            return  # withheld as a whole
        item = WorkItem(self._item.shard, self._item.format, files, "")
        for sample in codec_for(self._item.format, self._config).read(
            open_storage(self._config.destination.uri), item, _wants_everything
        ):
            if isinstance(sample, Refusal):
                self.output_ids.append(sample.id)
                continue
            if self._item.format != VideoCodec.name:  # a frame is like its neighbours, and nothing hides in its bytes
                with self.clock.step("scan"):
                    self.findings += self._scanner.sample(self._item, sample)
                    self.findings += self._not_allowed(sample)
            if sample.pictures:
                self.output_ids += [sample.picture_id(member) for member in sample.pictures]
                yield sample

    def _not_allowed(self, sample: Sample) -> Iterator[Finding]:
        """Members that the allow-list does not name."""
        made_by_reader = "json" if self._item.format == "parquet" else ""  # labels of a row: no member of the file
        for member in sample.members:
            if not member.is_picture and member.extension not in (*self._keep, made_by_reader):
                yield Finding("stray", printable(member.name), "a member of this kind is not on the allow-list")

    def _sample_tasks(self, released: Sample, original: Sample | None) -> Iterator[AuditTask]:
        with self.clock.step("decode"):
            limit = self._config.anonymize.max_megapixels
            before = {p.id: p.picture for p in source_pictures(original, limit)} if original else {}
        for member in released.pictures:
            name = released.picture_id(member)
            if name not in self._ledger:
                self.unrecorded.append(name)
                continue
            ledger = self._ledger[name]
            enrolled = self._enrolled.get(name) or EnrolledPicture(
                gallery_id(self._item, name), ledger.input_sha256, ()
            )
            picture = before.get(name)
            yield AuditTask(ledger, enrolled, member.data or b"", picture.pixels if picture else None)

    def altered_files(self) -> list[str]:
        """Released files that are not, byte for byte, what the manifest says."""
        destination = open_storage(self._config.destination.uri)
        altered = []
        for output in self._manifest.outputs:
            if sha256_of(destination, output.path) != output.sha256:
                altered.append(f"{output.path} (changed after it was written)")
        return altered


def _wants_nothing(extension: str) -> bool:
    """Names alone."""
    return False


def _wants_everything(extension: str) -> bool:
    """Every member is read: what it is called says nothing about what it holds."""
    return True


def outputs_digest(manifest: Manifest) -> str:
    """One SHA-256 for the released files of a shard: the file's own where there is one."""
    digests = [output.sha256 for output in manifest.outputs]
    return (
        digests[0]
        if manifest.format != "folder" and len(digests) == 1
        else canonical_digest([(output.path, output.sha256) for output in manifest.outputs])
    )


if __name__ == "__main__":
    import sys

    from jobs.cli import main

    raise SystemExit(main(["audit", "--config", *sys.argv[1:]]))
