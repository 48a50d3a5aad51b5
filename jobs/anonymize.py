"""Anonymization of one work item: decode, replace, encode, look again at what would be released, write."""

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from audit.gallery import load, read_shard
from audit.records import EnrolledPicture
from cfanet.errors import PictureError
from cfanet.images import Picture, decode, encode
from cfanet.records import Detection, FaceDecision, ImageArray, ImageResult, ImageStatus
from cfanet.search import References
from jobs.codecs.shard import Member, Refusal, Sample, ShardWriter, WorkItem, unsafe_name
from jobs.codecs.video import VideoCodec
from jobs.gallery_store import GalleryStore
from jobs.manifest import Manifest, delete_manifest
from jobs.obscure_list import NOBODY, ObscureList
from jobs.overlap import Behind, ahead, behind
from jobs.pictures import SourcePicture, enrolled_by_picture, looks_like_picture, source_pictures, wants_pictures
from jobs.plan import codec_for
from jobs.record import ShardRecord
from jobs.storage import open_storage
from jobs.worker import JobContext

_EXTRA_PASSES = 2  # how often a face seen only in the encoded picture is added and the picture done again


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A sample, its pictures decoded."""

    sample: Sample
    pictures: tuple[SourcePicture, ...]


@dataclass(frozen=True, eq=False)
class _Outcome:
    """One picture, done: `data` is the file to release, None when it is withheld for `why`."""

    source: SourcePicture
    result: ImageResult | None
    data: bytes | None
    why: tuple[str, str] = ("", "")


@dataclass(frozen=True, eq=False)
class _Work:
    """What the batches of one item share."""

    enrolled: dict[str, EnrolledPicture]
    named: ObscureList
    record: ShardRecord
    writer: ShardWriter
    encoders: ThreadPoolExecutor
    later: Behind


@dataclass(frozen=True, eq=False)
class _Started:
    """A batch whose pictures are anonymized and being encoded."""

    batch: Sequence[_Prepared | Refusal]
    sources: Sequence[SourcePicture]
    results: dict[str, ImageResult | PictureError]
    files: dict[str, Future[bytes]]


class AnonymizeWorker:
    """Anonymizes one work item at a time."""

    def __init__(self, context: JobContext) -> None:
        """Load the networks and the gallery that new faces are checked against."""
        self._context = context
        self._gallery = GalleryStore(context.config.gallery_uri)
        self._settings = context.config.anonymize
        self._keep = frozenset(context.config.destination.keep_members)
        galleries: dict[str, References] = {}
        self._anonymizer = context.tools(context.config).anonymizer(context.key, galleries)
        if self._settings.loop.gallery:  # filled now: only the anonymizer knows the names of its recognizers
            with self._gallery.whole() as folder:
                galleries |= {name: load(folder, name) for name in self._anonymizer.loop_recognizers}

    def process(self, item: WorkItem) -> Manifest:
        """Write the item's output, ledger and quarantine list, and then its manifest."""
        config = self._context.config
        source, destination = open_storage(config.source.uri), open_storage(config.destination.uri)
        with self._gallery.shard(item.shard) as folder:
            enrolled = enrolled_by_picture(item, read_shard(folder, item.shard, self._compared(item)))
        if item.format == VideoCodec.name:
            from jobs.video import VideoRelease  # with scipy: workers of pictures start sooner without it

            return VideoRelease(self._context, self._anonymizer).process(item, enrolled)
        record = ShardRecord(item)
        # From here on the old manifest, if any, would describe files that are about to change.
        delete_manifest(destination, item.shard)
        codec = codec_for(item.format, config)
        samples = codec.read(source, item, self._wants)
        with (
            codec.writer(destination, item, source) as writer,
            ThreadPoolExecutor(config.run.cpus_per_worker, "encode") as encoders,
            behind() as later,
            contextlib.closing(ahead(self._batches(samples, record))) as batches,
        ):
            named = self._context.obscure.get(item.shard, NOBODY)
            work = _Work(enrolled, named, record, writer, encoders, later)
            started: _Started | None = None
            for batch in batches:
                following = self._start(batch, work)
                self._conclude(started, work)
                started = following
            self._conclude(started, work)
        return record.close(destination, self._context, self._anonymizer.model_digest, writer.outputs())

    def _compared(self, item: WorkItem) -> tuple[str, ...]:
        """Recognizers whose enrolled vectors are needed: to follow faces from frame to frame, and for nothing else."""
        return tuple(self._anonymizer.loop_recognizers)[:1] if item.format == VideoCodec.name else ()

    def _wants(self, extension: str) -> bool:
        return wants_pictures(extension) or extension in self._keep

    def _batches(self, samples: Iterator[Sample | Refusal], record: ShardRecord) -> Iterator[list[_Prepared | Refusal]]:
        """Group samples so that a batch holds at most `batch_size` pictures and `max_megapixels` (or one sample)."""
        batch: list[_Prepared | Refusal] = []
        count, pixels = 0, 0
        for sample in samples:
            if isinstance(sample, Refusal):
                batch.append(sample)
                continue
            with record.clock.step("decode"):
                pictures = tuple(source_pictures(sample, self._settings.max_megapixels))
            size = sum(p.picture.pixels.size // 3 for p in pictures if p.picture is not None)
            too_many = count + len(pictures) > self._context.config.run.batch_size
            if batch and (too_many or pixels + size > self._settings.max_megapixels * 1e6):
                yield batch
                batch, count, pixels = [], 0, 0
            batch.append(_Prepared(sample, pictures))
            count, pixels = count + len(pictures), pixels + size
        if batch:
            yield batch

    def _start(self, batch: Sequence[_Prepared | Refusal], work: _Work) -> _Started:
        """Anonymize a batch; its pictures are encoded while the one before is checked."""
        sources = [picture for entry in batch if isinstance(entry, _Prepared) for picture in entry.pictures]
        with work.record.clock.step("anonymize"):
            results = self._run(sources, work)
        files = {
            source.id: work.encoders.submit(self._encode, source, result)
            for source in sources
            if isinstance(result := results.get(source.id), ImageResult) and result.image is not None
        }
        return _Started(batch, sources, results, files)

    def _conclude(self, started: _Started | None, work: _Work) -> None:
        """Check what would be released of a batch; it is written while the next one is worked on."""
        if started is None:
            return
        with work.record.clock.step("check"):
            done = {source.id: self._finish(source, started, work) for source in started.sources}
        work.later.call(lambda: self._write(started.batch, done, work))

    def _write(self, batch: Sequence[_Prepared | Refusal], done: Mapping[str, _Outcome], work: _Work) -> None:
        with work.record.clock.step("write"):
            for entry in batch:
                if isinstance(entry, Refusal):
                    work.record.refuse(entry)
                    _remove_refused(entry, work.writer)
                else:
                    outcomes = [done[picture.id] for picture in entry.pictures]
                    self._write_sample(entry.sample, outcomes, work.record, work.writer)
        self._context.worked(work.record.news())

    def _run(self, sources: Sequence[SourcePicture], work: _Work) -> dict[str, ImageResult | PictureError]:
        """Anonymize what can be; when a batch fails, each of its pictures is tried alone, so that only one is lost."""
        ready = [source for source in sources if _refusal(source, work.enrolled) is None]
        if not ready:
            return {}
        try:
            return dict(zip([source.id for source in ready], self._anonymize(ready, work), strict=True))
        except Exception:
            outcomes: dict[str, ImageResult | PictureError] = {}
            for source in ready:
                try:
                    outcomes[source.id] = self._anonymize([source], work)[0]
                except Exception as error:  # becomes the picture's reason
                    outcomes[source.id] = PictureError("anonymizer_failed", f"{type(error).__name__}: {error}")
            return outcomes

    def _anonymize(self, sources: Sequence[SourcePicture], work: _Work) -> list[ImageResult]:
        images = [_pixels(source) for source in sources]
        known = [work.enrolled[source.id] for source in sources]
        faces = [_detections(one) for one in known]
        named = [_named(work, source, found) for source, found in zip(sources, faces, strict=True)]
        return self._anonymizer.run(images, [one.sample_key for one in known], faces, named)

    def _finish(self, source: SourcePicture, started: _Started, work: _Work) -> _Outcome:
        result = started.results.get(source.id)
        if isinstance(result, PictureError):
            return _Outcome(source, None, None, (result.reason, result.detail))
        if result is None:
            return _Outcome(
                source, None, None, _refusal(source, work.enrolled) or ("lost", "the anonymizer returned nothing")
            )
        try:
            return self._check(source, result, started.files.get(source.id), work)
        except Exception as error:  # fail closed: whatever goes wrong here withholds the picture
            return _Outcome(source, result, None, ("check_failed", f"{type(error).__name__}: {error}"))

    def _check(self, source: SourcePicture, result: ImageResult, file: Future[bytes] | None, work: _Work) -> _Outcome:
        """Decode what was encoded, and look for faces left as they were; add those and try again."""
        original, enrolled = _pixels(source), work.enrolled[source.id]
        faces = _detections(enrolled)
        for _ in range(1 + _EXTRA_PASSES):
            if result.image is None or result.status == ImageStatus.QUARANTINED:
                return _Outcome(source, result, None, ("not_anonymized", result.detail))
            data = file.result() if file is not None else self._encode(source, result)
            released = decode(data, self._settings.max_megapixels).pixels
            left = self._anonymizer.check_released(original, released, result)
            if not left:
                return _Outcome(source, result, data)
            faces, file = [*faces, *left], None
            result = self._anonymizer.run([original], [enrolled.sample_key], [faces], [_named(work, source, faces)])[0]
        return _Outcome(source, result, None, ("face_left", f"{len(left)} faces were still seen after encoding"))

    def _encode(self, source: SourcePicture, result: ImageResult) -> bytes:
        if result.image is None:
            raise ValueError(f"{source.id} has no picture to encode")
        return encode(Picture(result.image, _format(source)), self._settings.jpeg_quality)

    def _write_sample(
        self, sample: Sample, outcomes: Sequence[_Outcome], record: ShardRecord, writer: ShardWriter
    ) -> None:
        """Write all of a sample or nothing of it."""
        kept = [m for m in sample.members if not m.is_picture and m.extension in self._keep and not sample.is_stray]
        if not outcomes and not kept and (sample.is_stray or record.item.format == "folder"):
            record.drop(sample.members)
            _withhold(sample.members, writer)
            return
        refusal = _sample_refusal(sample, outcomes, kept)
        if refusal is not None and not outcomes:
            record.refuse(Refusal(sample.key, sample.key, *refusal))
            _withhold(sample.members, writer)
            return
        record.end_sample(released=refusal is None)
        for outcome in outcomes:
            if refusal is None and outcome.result is not None and outcome.data is not None:
                record.release(outcome.source, outcome.result, hashlib.sha256(outcome.data).hexdigest())
            else:
                why = outcome.why if outcome.data is None else refusal or outcome.why
                record.withhold(sample, outcome.source, _withheld_result(outcome.result), why)
        record.drop([m for m in sample.members if not m.is_picture and m not in kept])
        if refusal is not None:
            _withhold(sample.members, writer)
            return
        files = {outcome.source.member.name: outcome.data for outcome in outcomes}
        written = [m for m in sample.members if m.is_picture or m in kept]
        writer.write([replace(m, data=files.get(m.name, m.data)) for m in written])
        for member in kept:
            record.keep(member)


def _refusal(source: SourcePicture, enrolled: dict[str, EnrolledPicture]) -> tuple[str, str] | None:
    """Why a picture cannot be anonymized, or None."""
    if source.picture is None:
        return source.reason, source.detail
    known = enrolled.get(source.id)
    if known is None:
        return "not_enrolled", "its faces could not be enrolled, so that nobody could check its release"
    if known.input_sha256 != source.sha256:
        return "changed", "the file changed after it was enrolled"
    return None


def _sample_refusal(sample: Sample, outcomes: Sequence[_Outcome], kept: Sequence[Member]) -> tuple[str, str] | None:
    """Why a whole sample is withheld, or None."""
    if not outcomes and not kept:
        return "no_picture", "the sample has no picture, and no member on the allow-list"
    for member in kept:
        if looks_like_picture(member.data or b""):
            return "hidden_picture", f"member {member.name!r} is on the allow-list but holds a picture"
    lost = [outcome.source.id for outcome in outcomes if outcome.data is None]
    if lost:
        return "sibling_withheld", f"picture {lost[0]!r} of the same sample is withheld"
    return None


def _withheld_result(result: ImageResult | None) -> ImageResult | None:
    """The record of a picture that is not released: what was found stays on record, without pixels."""
    if result is None:
        return None
    faces = tuple(replace(face, decision=FaceDecision.WITHHELD) for face in result.faces)
    return replace(result, status=ImageStatus.QUARANTINED, image=None, faces=faces)


def _withhold(members: Sequence[Member], writer: ShardWriter) -> None:
    writer.withhold([member for member in members if not unsafe_name(member.name)])


def _remove_refused(refusal: Refusal, writer: ShardWriter) -> None:
    if refusal.member and not unsafe_name(refusal.member):
        writer.withhold([Member(refusal.member, "", 0, 0.0, None)])


def _detections(picture: EnrolledPicture) -> list[Detection]:
    return [face.detection for face in picture.faces]


def _named(work: _Work, source: SourcePicture, faces: Sequence[Detection]) -> dict[int, str]:
    return work.named.among(source.id, [face.box for face in faces])


def _pixels(source: SourcePicture) -> ImageArray:
    if source.picture is None:
        raise ValueError(f"{source.id} was not decoded")
    return source.picture.pixels


def _format(source: SourcePicture) -> str:
    if source.picture is None:
        raise ValueError(f"{source.id} was not decoded")
    return source.picture.format


if __name__ == "__main__":
    import sys

    from jobs.cli import main

    raise SystemExit(main(["anonymize", "--config", *sys.argv[1:]]))
