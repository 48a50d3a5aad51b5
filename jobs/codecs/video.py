"""Video files: one file is one work item, and each of its frames a sample of one picture.

So galleries, ledgers and audits know frames as they know pictures, and every frame of the source needs a place in the
output. Frames are handed over as PPM, which holds exactly the decoded pixels. Writing is not done sample by sample: a
frame's new face depends on its whole track (`jobs.video`).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager

from cfanet.errors import InputError, PictureError
from cfanet.images import Picture, encode
from cfanet.video_file import VIDEO_EXTENSIONS, check_installed, count_frames, read_frames
from jobs.codecs.folder import extension_of
from jobs.codecs.shard import Member, Refusal, Sample, ShardWriter, Wanted, WorkItem, printable, unsafe_name
from jobs.storage import Entry, Storage

FRAME = "ppm"  # extension of a frame
_MODE = 0o644


def is_video(path: str) -> bool:
    """True when a file's name says that it is a video."""
    return extension_of(path) in VIDEO_EXTENSIONS


def video_items(uri: str, files: Sequence[Entry]) -> tuple[WorkItem, ...]:
    """One work item a file, named by its whole path; InputError when a name cannot be used, or PyAV is missing."""
    check_installed()
    for entry in files:
        if unsafe_name(entry.path):
            raise InputError(f"SRC {uri} holds {printable(entry.path)!r}: {unsafe_name(entry.path)}; rename it")
    doubled = [name for name, count in Counter(entry.path.lower() for entry in files).items() if count > 1]
    if doubled:
        raise InputError(f"SRC {uri} holds {doubled[0]!r} twice, in different spellings: rename one")
    return tuple(WorkItem(entry.path, VideoCodec.name, (entry,), entry.etag) for entry in files)


class VideoCodec:
    """Video files."""

    name = "video"
    sample_needs_picture = True

    def __init__(self, max_megapixels: float) -> None:
        """Refuse videos whose frames are larger."""
        self._max_megapixels = max_megapixels

    def read(self, storage: Storage, item: WorkItem, wanted: Wanted) -> Iterator[Sample | Refusal]:
        """Yield one sample a frame, then a Refusal for a rest that cannot be decoded.

        Where frames are not wanted nothing is decoded, and the file is one Refusal.
        """
        if not wanted(FRAME):
            yield whole(item, "not_read", "its frames were not looked at")
            return
        with storage.open_read(item.files[0].path, item.files[0].etag) as file:
            try:
                for frame in read_frames(file, extension_of(item.files[0].path), self._max_megapixels):
                    yield frame_sample(item, frame.number, encode(Picture(frame.pixels, "PPM"), 100))
            except PictureError as error:
                yield whole(item, error.reason, error.detail)

    def count(self, storage: Storage, item: WorkItem) -> int:
        """About how many frames there are; 0 where the header does not say."""
        with storage.open_read(item.files[0].path, item.files[0].etag) as file:
            try:
                return count_frames(file, extension_of(item.files[0].path))
            except PictureError:
                return 0

    def writer(self, storage: Storage, item: WorkItem, source: Storage) -> AbstractContextManager[ShardWriter]:
        """Not how videos are written."""
        raise NotImplementedError("a video is written by jobs.video, whole")


def frame_key(item: WorkItem, number: int) -> str:
    """Name of a frame, unique in the dataset."""
    return f"{item.shard}:{number:09d}"


def frame_number(key: str) -> int:
    """Number of a frame by its name."""
    return int(key.rpartition(":")[2])


def frame_sample(item: WorkItem, number: int, data: bytes) -> Sample:
    """One frame as a sample."""
    key = frame_key(item, number)
    return Sample(key, (Member(f"{key}.{FRAME}", FRAME, _MODE, 0.0, data),))


def whole(item: WorkItem, reason: str, detail: str) -> Refusal:
    """The file itself, as something that is withheld."""
    key = f"{item.shard}:(all)"
    return Refusal(key, key, reason, detail, item.files[0].path)
