"""Enrolment of one work item: find and embed the faces of the originals, into the private gallery."""

from collections.abc import Iterator
from dataclasses import dataclass

from audit.enrol import Enroller, Original
from audit.gallery import ShardStamp, new_shard
from audit.names import name_hashes
from audit.records import EnrolledPicture
from cfanet.errors import PictureError
from jobs.codecs.shard import Refusal, WorkItem
from jobs.gallery_store import GalleryStore
from jobs.manifest import Counts
from jobs.pictures import gallery_id, group_labels, source_pictures, subject_label, wants_labels
from jobs.plan import codec_for
from jobs.storage import open_storage
from jobs.timing import Stopwatch, peak_memory_bytes
from jobs.worker import JobContext


@dataclass(frozen=True)
class Enrolled:
    """Summary of one item's enrolment."""

    pictures: int
    faces: int
    undecodable: int  # pictures that cannot be enrolled, and so will be withheld
    seconds: dict[str, float]
    peak_memory_bytes: int


class EnrolWorker:
    """Enrols the originals of one work item at a time."""

    def __init__(self, context: JobContext) -> None:
        """Load the detector and every recognizer that will search the gallery."""
        tools = context.tools(context.config)
        recognizers = {**tools.loop_recognizers(), **tools.judges()}
        self._context = context
        self._gallery = GalleryStore(context.config.gallery_uri)
        self._pseudonyms = self._gallery.pseudonyms()
        self._enroller = Enroller(tools.detector(), recognizers, self._pseudonyms)

    def process(self, item: WorkItem) -> Enrolled:
        """Enrol every decodable picture of the item, and store them under its shard name."""
        clock = Stopwatch()
        stamp, sizes = stamp_of(self._context, item), self._enroller.sizes
        pictures, faces, undecodable = 0, 0, 0
        with self._gallery.draft(item.shard) as folder, new_shard(folder, item.shard, stamp, sizes) as draft:
            for enrolled in self._enrolled(item, clock, draft.names):
                if enrolled is None:  # anonymization withholds what it cannot find in the gallery
                    undecodable += 1
                    continue
                with clock.step("write"):
                    draft.add([enrolled])
                pictures, faces = pictures + 1, faces + len(enrolled.faces)
                self._context.worked(Counts(pictures=1, faces=len(enrolled.faces)))
        return Enrolled(pictures, faces, undecodable, clock.seconds, peak_memory_bytes())

    def _enrolled(self, item: WorkItem, clock: Stopwatch, names: set[str]) -> Iterator[EnrolledPicture | None]:
        """Every picture of the item, None for one that cannot be enrolled; `names` gets hashes of people's names."""
        config = self._context.config
        for sample in codec_for(item.format, config).read(open_storage(config.source.uri), item, wants_labels):
            if isinstance(sample, Refusal):
                continue  # anonymization reads it again and records it
            label = subject_label(sample, config.source.subject_field)
            labels = group_labels(sample, config.source.label_fields)
            names.update(name_hashes(label, self._pseudonyms))
            with clock.step("decode"):
                originals = source_pictures(sample, config.anonymize.max_megapixels)
            for original in originals:
                if original.picture is None:
                    yield None
                    continue
                face = Original(
                    gallery_id(item, original.id), original.sha256, original.picture.pixels, label, labels=labels
                )
                try:
                    with clock.step("embed"):
                        (enrolled,) = self._enroller.enrol([face])
                except (PictureError, ValueError, RuntimeError):
                    yield None
                else:
                    yield enrolled


def stamp_of(context: JobContext, item: WorkItem) -> ShardStamp:
    """What a shard of the gallery must have been made from to be used again."""
    return ShardStamp(item.etag, context.config.enrolment_digest())
