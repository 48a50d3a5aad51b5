"""Anonymization of one video file: track its faces, choose, render, and look at every frame of what was written.

The file is decoded once for choosing identities, once for writing, and once more beside the output for the last check;
a frame or two are in memory at a time. Where faces are comes from the gallery. A video is released whole or not at all.
"""

import hashlib
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from audit.records import EnrolledPicture
from cfanet.assigned import Chosen
from cfanet.errors import PictureError
from cfanet.follow import prolong
from cfanet.images import Picture, encode
from cfanet.records import Detection, ImageArray, ImageResult
from cfanet.scenes import SceneChanges
from cfanet.subjects import subjects_of
from cfanet.tracks import FrameFaces, Placement, Sighting, scene_starts, track_faces
from cfanet.video import VideoAnonymizer, by_frame
from cfanet.video_file import Frame, read_frames, rewrite
from jobs.codecs.folder import extension_of
from jobs.codecs.shard import OutputFile, WorkItem
from jobs.codecs.video import frame_key, frame_number, frame_sample, whole
from jobs.manifest import Manifest, delete_manifest
from jobs.obscure_list import NOBODY
from jobs.pictures import SourcePicture
from jobs.record import ShardRecord
from jobs.storage import Storage, open_storage
from jobs.timing import Stopwatch
from jobs.tools import PictureAnonymizer
from jobs.worker import JobContext

# The second pass adds faces that were seen only in the encoded video, the others obscure those still seen. What is
# covered in one frame is encoded anew in those that follow, where a detector may see something else.
MAX_PASSES = 8
_COPY_BYTES = 1 << 20
Faces = dict[int, list[Detection]]  # by frame


@dataclass(eq=False)
class _Attempt:
    """One rendering of the video, and what was found out about it."""

    added: Faces  # seen in an earlier one
    hidden: Faces  # seen in the one before as well: obscured
    results: dict[int, ImageResult] = field(default_factory=dict)  # by frame, without pixels
    left: Faces = field(default_factory=dict)  # faces that could still be seen


class VideoRelease:
    """Anonymizes one video at a time."""

    def __init__(self, context: JobContext, anonymizer: PictureAnonymizer) -> None:
        """Use the networks of a worker."""
        self._context = context
        self._settings = context.config.anonymize
        self._anonymizer = anonymizer
        self._video = VideoAnonymizer(anonymizer, self._settings)

    def process(self, item: WorkItem, enrolled: Mapping[str, EnrolledPicture]) -> Manifest:
        """Write the video, its ledger and its quarantine list, and then its manifest."""
        config, digest = self._context.config, self._anonymizer.model_digest
        destination, path = open_storage(config.destination.uri), item.files[0].path
        # From here on the old manifest, if any, would describe files that are about to change.
        delete_manifest(destination, item.shard)
        with tempfile.TemporaryDirectory(prefix="cfanet-video-") as folder:
            draft = Path(folder) / "video"  # containers are written with seeks, which object stores do not have
            try:
                record = self._make(item, enrolled, draft)
            except PictureError as error:
                destination.delete(path)
                record = ShardRecord(item)
                record.refuse(whole(item, error.reason, error.detail))
                return record.close(destination, self._context, digest, [], withheld=f"{error.reason}: {error.detail}")
            with record.clock.step("write"), destination.open_write(path) as file, draft.open("rb") as made:
                shutil.copyfileobj(made, file, _COPY_BYTES)
        return record.close(destination, self._context, digest, [OutputFile(path, file.sha256, file.size)])

    def _make(self, item: WorkItem, enrolled: Mapping[str, EnrolledPicture], draft: Path) -> ShardRecord:
        """Render until no face is left; PictureError when the video must be withheld."""
        clock, clean = Stopwatch(), dict[int, str]()
        with clock.step("decode"):
            known = self._known(item, enrolled)
        attempt = _Attempt({}, {})
        for number in range(MAX_PASSES):
            with clock.step("anonymize"):
                self._render(item, known, attempt, draft)
            record = ShardRecord(item)
            record.clock = clock
            with clock.step("check"):
                self._check(item, enrolled, attempt, (draft, clean, record))
            if not attempt.left:
                return record
            if number == 0:
                attempt = _Attempt(attempt.left, {})
            else:
                attempt = _Attempt(attempt.added, _merged(attempt.hidden, attempt.left))
        count = sum(map(len, attempt.hidden.values()))
        raise PictureError("face_left", f"{count} faces were still seen after encoding")

    def _render(self, item: WorkItem, known: list[FrameFaces], attempt: _Attempt, draft: Path) -> None:
        frames = _with(known, attempt.added)
        tracks = track_faces(frames, self._settings.video, self._same())
        if tracks:
            tracks = prolong(tracks, self._frames(item), self._settings.video, scene_starts(frames, tracks))
        placed = by_frame(tracks)
        subjects = {track.index: track.index for track in tracks}
        if self._settings.identity == "per_subject":
            subjects = subjects_of(tracks, self._same())
        chosen = self._video.choose(item.shard, tracks, subjects, self._frames(item)) if tracks else {}
        for index, why in self._named(item, placed).items():
            chosen[index] = Chosen(chosen[index].seed_id, (), why)
        spare = len(tracks)  # index of the first face that belongs to no track

        def change(frame: Frame) -> ImageArray:
            key = frame_key(item, frame.number)
            hidden = dict(enumerate(attempt.hidden.get(frame.number, ()), spare))
            result = self._video.render(frame, key, placed.get(frame.number, {}), chosen, hidden)
            if result.image is None:
                raise PictureError("not_anonymized", f"frame {frame.number}: {result.detail}")
            attempt.results[frame.number] = replace(result, image=_NO_PIXELS)
            return result.image

        with self._source(item).open_read(item.files[0].path, item.files[0].etag) as file:
            limit, sound = self._settings.max_megapixels, self._settings.video.sound
            rewrite(file, draft, _extension(item), change, limit, sound)

    def _named(self, item: WorkItem, placed: Mapping[int, Mapping[int, Placement]]) -> dict[int, str]:
        """Tracks that an audit or a person named in some frame, by index, and why: they are obscured in every one."""
        named, found = self._context.obscure.get(item.shard, NOBODY), dict[int, str]()
        for key in named.pictures:
            there = placed.get(frame_number(key), {})
            among = named.among(key, [placement.detection.box for placement in there.values()])
            found |= {index: among[n] for n, index in enumerate(there) if n in among}
        return found

    def _check(
        self,
        item: WorkItem,
        enrolled: Mapping[str, EnrolledPicture],
        attempt: _Attempt,
        draft: tuple[Path, dict[int, str], ShardRecord],
    ) -> None:
        """Look at every frame that was written, beside the one it was made from, and record it."""
        path, clean, record = draft
        with path.open("rb") as made:
            written = read_frames(made, _extension(item), self._settings.max_megapixels)
            for before in self._frames(item):
                after = next(written, None)
                if after is None or after.pixels.shape != before.pixels.shape:
                    raise PictureError("frames_lost", f"frame {before.number} is not in what was written")
                source = _picture(item, before)
                if enrolled[source.id].input_sha256 != source.sha256:
                    raise PictureError("changed", f"frame {before.number} is not the one that was enrolled")
                result, digest = attempt.results[before.number], _digest(after)
                new = before.number not in clean
                if clean.get(before.number) != digest:
                    left = self._anonymizer.check_released(before.pixels, after.pixels, result, moving=True)
                    if left:
                        attempt.left[before.number] = left
                    else:
                        clean[before.number] = digest
                record.end_sample(released=True)
                record.release(source, result, digest)
                news = record.news()
                if new and before.number in clean:  # not again in the next pass
                    self._context.worked(news)
            if next(written, None) is not None:
                raise PictureError("frames_lost", "more frames were written than there are")

    def _known(self, item: WorkItem, enrolled: Mapping[str, EnrolledPicture]) -> list[FrameFaces]:
        """What the gallery knows about every frame, in order; PictureError when it does not know them all."""
        recognizer = next(iter(self._anonymizer.loop_recognizers), "")
        by_number = {frame_number(key): picture for key, picture in enrolled.items()}
        frames, scenes = [], SceneChanges()
        for frame in self._frames(item):
            picture = by_number.get(frame.number)
            if picture is None:
                raise PictureError("not_enrolled", f"the faces of frame {frame.number} could not be enrolled")
            sightings = tuple(Sighting(face.detection, face.embeddings.get(recognizer)) for face in picture.faces)
            frames.append(FrameFaces(frame.time_s, sightings, scenes.begins(frame.pixels)))
        return frames

    def _same(self) -> float:
        """Similarity from which two faces are one person, by the recognizer of `_known`."""
        recognizers = list(self._anonymizer.loop_recognizers.values())
        return recognizers[0].threshold(self._settings.loop.fmr) if recognizers else 1.0

    def _frames(self, item: WorkItem) -> Iterator[Frame]:
        with self._source(item).open_read(item.files[0].path, item.files[0].etag) as file:
            yield from read_frames(file, _extension(item), self._settings.max_megapixels)

    def _source(self, item: WorkItem) -> Storage:
        return open_storage(self._context.config.source.uri)


_NO_PIXELS: ImageArray = np.zeros((0, 0, 3), np.uint8)  # stands for those of a frame that is written already


def _with(known: list[FrameFaces], added: Faces) -> list[FrameFaces]:
    """The frames, with faces added that were seen only later."""
    return [
        replace(frame, sightings=frame.sightings + tuple(Sighting(face) for face in added.get(number, ())))
        for number, frame in enumerate(known)
    ]


def _merged(one: Faces, two: Faces) -> Faces:
    found: Faces = defaultdict(list)
    for faces in (one, two):
        for frame, several in faces.items():
            found[frame] += several
    return dict(found)


def _extension(item: WorkItem) -> str:
    return extension_of(item.files[0].path)


def _digest(frame: Frame) -> str:
    """SHA-256 of a frame as `VideoCodec` hands it over."""
    return hashlib.sha256(encode(Picture(frame.pixels, "PPM"), 100)).hexdigest()


def _picture(item: WorkItem, frame: Frame) -> SourcePicture:
    sample = frame_sample(item, frame.number, b"")
    return SourcePicture(sample.key, sample.pictures[0], _digest(frame), Picture(frame.pixels, "PPM"))
