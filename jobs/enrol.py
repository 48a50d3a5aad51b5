"""Enrolment of one work item: find and embed the faces of the originals, into the private gallery."""

from dataclasses import dataclass

from audit.enrol import Enroller, Original
from audit.gallery import ShardStamp, write_shard
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
        config, clock = self._context.config, Stopwatch()
        pictures: list[EnrolledPicture] = []
        names: frozenset[str] = frozenset()
        undecodable = 0
        for sample in codec_for(item.format, config).read(open_storage(config.source.uri), item, wants_labels):
            if isinstance(sample, Refusal):
                continue  # anonymization reads it again and records it
            label = subject_label(sample, config.source.subject_field)
            labels = group_labels(sample, config.source.label_fields)
            names |= name_hashes(label, self._pseudonyms)
            with clock.step("decode"):
                originals = source_pictures(sample, config.anonymize.max_megapixels)
            for original in originals:
                if original.picture is None:
                    undecodable += 1
                    continue
                with clock.step("embed"):
                    pixels, key = original.picture.pixels, gallery_id(item, original.id)
                    face = Original(key, original.sha256, pixels, label, labels=labels)
                    try:
                        enrolled = self._enroller.enrol([face])
                        pictures += enrolled
                        self._context.worked(Counts(pictures=1, faces=sum(len(one.faces) for one in enrolled)))
                    except (
                        PictureError,
                        ValueError,
                        RuntimeError,
                    ):  # not enrolled: anonymization withholds what it cannot find here
                        undecodable += 1
        with clock.step("write"), self._gallery.draft(item.shard) as folder:
            write_shard(folder, item.shard, pictures, stamp_of(self._context, item), names)
        faces = sum(len(picture.faces) for picture in pictures)
        return Enrolled(len(pictures), faces, undecodable, clock.seconds, peak_memory_bytes())


def stamp_of(context: JobContext, item: WorkItem) -> ShardStamp:
    """What a shard of the gallery must have been made from to be used again."""
    return ShardStamp(item.etag, context.config.enrolment_digest())
