"""`cfanet prepare` as a job: every shard of a dataset of faces becomes a shard of training faces.

How a face is prepared comes from outside (`Preparer`): this package moves data, and does not know the training.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from cfanet.errors import InputError
from jobs.codecs.shard import Refusal, WorkItem
from jobs.config import ReleaseConfig, code_version
from jobs.layouts import Layout
from jobs.manifest import Counts
from jobs.pictures import wants_labels
from jobs.pipeline import ray_session
from jobs.plan import codec_for
from jobs.prepared import PreparedFolder, ShardRecord, counts_text, summarise
from jobs.progress import Progress
from jobs.stages import raise_failures, run_items
from jobs.storage import is_remote, lies_inside, open_storage
from jobs.timing import Stopwatch, peak_memory_bytes
from jobs.worker import StageContext

PREPARE = "prepare"


class Prepared(Protocol):
    """What became of the pictures of one shard."""

    @property
    def pictures(self) -> int:
        """How many there were."""
        ...

    @property
    def left_out(self) -> Mapping[str, int]:
        """Pictures that gave no face, by reason."""
        ...

    @property
    def notes(self) -> Mapping[str, int]:
        """Faces that were kept and are worth knowing about, by what is special about them."""
        ...

    @property
    def people(self) -> Mapping[str, int]:
        """Faces by name of the person, "" where unknown."""
        ...

    def files(self) -> Mapping[str, bytes]:
        """The shard's files by extension; none where there is no face."""
        ...


class Preparer(Protocol):
    """Makes training faces out of pictures."""

    @property
    def facts(self) -> Mapping[str, str]:
        """Everything a shard depends on besides its pictures."""
        ...

    def prepare(self, pictures: Iterable[tuple[str, bytes, str]]) -> Prepared:
        """Prepare (key, image file, name of the person or "") one after the other."""
        ...


BuildPreparer = Callable[[str], Preparer]
"""Builds the parts on a device; travels to the workers."""


@dataclass(frozen=True)
class PrepareContext(StageContext):
    """What every worker is given."""

    build: BuildPreparer
    layout: Layout
    facts: Mapping[str, str]

    def record(self, item: WorkItem, **found: Any) -> ShardRecord:
        """The record of an item with what was `found` in it."""
        return ShardRecord(
            shard=output_name(item),
            source=address(self.config.source.uri),
            etag=item.etag,
            layout=self.layout.name,
            partition=self.layout.partition,
            facts=dict(self.facts),
            code_version=code_version(),
            **found,
        )


class PrepareWorker:
    """Prepares one work item at a time."""

    def __init__(self, context: PrepareContext) -> None:
        """Load detector and recognizer."""
        self._context = context
        self._preparer = context.build(context.config.device)

    def process(self, item: WorkItem) -> ShardRecord:
        """Write the shard of one item; a shard without any face has a record and no files."""
        refused: Counter[str] = Counter()
        clock = Stopwatch()
        with clock.step("prepare"):
            made = self._preparer.prepare(self._pictures(item, refused))
        with clock.step("encode"):
            files = {f"{output_name(item)}{extension}": data for extension, data in made.files().items()}
        record = self._context.record(
            item,
            files={name: len(data) for name, data in files.items()},
            pictures=made.pictures + refused.total(),
            notes=dict(made.notes),
            left_out=dict(Counter(made.left_out) + refused),
            people=dict(made.people),
            seconds=clock.seconds,
            peak_memory_bytes=peak_memory_bytes(),
        )
        PreparedFolder(open_storage(self._context.config.destination.uri)).write(record, files)
        return record

    def _pictures(self, item: WorkItem, refused: Counter[str]) -> Iterator[tuple[str, bytes, str]]:
        """The pictures of an item under keys that are unique in it; `refused` counts what cannot be read."""
        config, seen = self._context.config, set[str]()
        for sample in codec_for(item.format, config).read(open_storage(config.source.uri), item, wants_labels):
            if isinstance(sample, Refusal):
                refused[sample.reason] += 1
                continue
            identity = self._context.layout.identity_of(sample)
            for member in sample.pictures:
                name = sample.picture_id(member)
                short = name.removesuffix(f".{member.extension}")
                key = name if short in seen else short
                seen.add(key)
                yield key, member.data or b"", identity
                self._context.worked(Counts(pictures=1))


@dataclass(frozen=True)
class Outcome:
    """What a run did, and what its folder holds now."""

    made: int  # shards
    kept: int  # shards of earlier runs
    summary: Mapping[str, Any]  # as in prepared.json


def prepare(config: ReleaseConfig, layout: Layout, build: BuildPreparer, progress: Progress) -> Outcome:
    """Prepare what DST does not hold yet; InputError when DST was made otherwise, or nothing could be used."""
    _check_places(config)
    facts = build("cpu").facts  # also says at once what is wrong with the recognizer
    storage = open_storage(config.destination.uri)
    storage.check_writable()
    storage.clear_scratch()
    folder = PreparedFolder(storage)
    items = {output_name(item): item for item in layout.items}
    records = folder.records()
    # Millions of files would travel to every worker: each is told its own with the item.
    context = PrepareContext(config, build, replace(layout, items=()), facts)
    if len(items) < len(layout.items):
        raise InputError(f"SRC {config.source.uri}: two of its shards would have one name in DST: rename one")
    _check_alike(context, items, records)
    progress.say(f"{config.source.uri}: {layout.sentence}")
    _forget_stale(context, items, records, folder, progress)
    unrecorded = [shard for shard in items if shard not in records and folder.has_files(shard)]
    if unrecorded:
        progress.say(f"{len(unrecorded)} shards were prepared by an earlier version, without a record: they are kept")
    done = {shard for shard in items if _is_done(context, folder, records.get(shard), items[shard])}
    todo = [item for shard, item in items.items() if shard not in done and shard not in unrecorded]
    session = ray_session(config) if todo else nullcontext()
    with session, progress.stage(PREPARE, len(todo), len(items) - len(todo)) as stage:

        def take(_: str, record: ShardRecord) -> None:
            records[record.shard] = record
            stage.advance(Counts(pictures=record.pictures, faces=record.faces))

        failures = run_items(PrepareWorker, context, todo, take, stage)
    summary = summarise(list(records.values()), unrecorded, layout.left_out)
    folder.write_summary(summary)
    raise_failures(PREPARE, {shard: report.error for shard, report in failures.items()})
    if not summary["faces"] and not unrecorded:
        why = counts_text(summary["left_out"]) or "it holds no pictures"
        raise InputError(f"no face of SRC {config.source.uri} can be used ({why})")
    return Outcome(len(todo), len(items) - len(todo), summary)


def output_name(item: WorkItem) -> str:
    """A shard's name in DST, which has no folders."""
    return item.shard.replace("/", "-")


def address(uri: str) -> str:
    """An address that means the same whatever the current folder is."""
    return uri.rstrip("/") if is_remote(uri) else str(Path(uri).resolve())


def _check_places(config: ReleaseConfig) -> None:
    source, destination = config.source.uri, config.destination.uri
    if lies_inside(destination, source) or lies_inside(source, destination):
        raise InputError(f"DST {destination} and SRC {source} lie inside each other: give a separate folder as DST")


def _check_alike(context: PrepareContext, items: Mapping[str, WorkItem], records: Mapping[str, ShardRecord]) -> None:
    """InputError when DST holds shards that do not go with those to be made."""
    source, target = address(context.config.source.uri), context.config.destination.uri
    for record in records.values():
        if not record.faces:
            continue  # nothing of it could be mixed up with anything: it is made again if it was made otherwise
        for name in sorted(context.facts.keys() | record.facts.keys()):
            was, now = record.facts.get(name, "unknown"), context.facts.get(name, "unknown")
            if was != now:
                raise InputError(f"DST {target} was prepared with {name} {was}, not {now}: choose another folder")
        was_read, is_read = (record.layout, record.partition), (context.layout.name, context.layout.partition)
        if record.source == source and was_read != is_read:
            raise InputError(
                f"DST {target} was prepared from SRC as {was_read[0]}, partition {was_read[1]}, not as {is_read[0]}, "
                f"partition {is_read[1]}: choose another folder"
            )
        mine = items.get(record.shard)
        if record.source != source and mine is not None and mine.etag != record.etag:
            raise InputError(
                f"DST {target} holds a shard {record.shard!r} made from {record.source}: choose another folder, or "
                "rename one of the sources"
            )


def _forget_stale(
    context: PrepareContext,
    items: Mapping[str, WorkItem],
    records: dict[str, ShardRecord],
    folder: PreparedFolder,
    progress: Progress,
) -> None:
    """Remove shards that an earlier run made of pictures which the source no longer has."""
    source = address(context.config.source.uri)
    for shard in sorted(s for s, record in records.items() if record.source == source and s not in items):
        progress.say(f"shard {shard!r} is removed: its pictures are no longer in SRC")
        folder.forget(shard)
        del records[shard]


def _is_done(context: PrepareContext, folder: PreparedFolder, record: ShardRecord | None, item: WorkItem) -> bool:
    if record is None or record.etag != item.etag or record.facts != context.facts:
        return False
    return folder.is_whole(record)


if __name__ == "__main__":
    import sys

    from jobs.cli import main

    raise SystemExit(main(["prepare", *sys.argv[1:]]))
