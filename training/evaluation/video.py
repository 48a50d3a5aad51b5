"""Stability in time: released videos beside their originals, track by track."""

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np

from cfanet.anonymizer import Anonymizer, build_anonymizer
from cfanet.boxes import iou
from cfanet.config import AnonymizeSettings, DetectorSettings, LoopSettings, VideoSettings
from cfanet.detect import MTCNNDetector
from cfanet.errors import InputError, PictureError
from cfanet.recognizers import load_recognizer
from cfanet.records import Detection, Detector, ImageArray, Landmarks, Recognizer
from cfanet.scenes import SceneChanges
from cfanet.seeds import SeedKey
from cfanet.tracks import FrameFaces, Placement, Sighting, track_faces
from cfanet.video import by_frame
from cfanet.video_file import VIDEO_EXTENSIONS, Frame, read_frames
from training.evaluation import stability
from training.evaluation.document import Cell, Table, write_document
from training.evaluation.quantities import mean, proportion

_SAME_FACE = 0.3  # overlap from which a face found in another version of a frame is the one that was there
_FEWEST = 3  # frames of a track that has a second difference
_FMR = 1e-3


@dataclass(frozen=True)
class VideoRequest:
    """What the command line asked for."""

    source: Path
    released: Path
    out: Path
    recognizer: str = "dlib"
    limit: int | None = None  # frames of each video
    one_by_one: bool = False  # also anonymize every frame by itself


@dataclass(eq=False)
class _Seen:
    """One version of one track: a row a frame."""

    embeddings: list[np.ndarray] = field(default_factory=list)
    landmarks: list[Landmarks | None] = field(default_factory=list)  # as the detector sees this version
    widths: list[float] = field(default_factory=list)
    luminances: list[float] = field(default_factory=list)
    crops: list[np.ndarray] = field(default_factory=list)


Versions = dict[str, _Seen]  # "original", "released", "one by one"


class _Eyes:
    """Detector and recognizer, and the anonymizer of single frames where that is asked for."""

    def __init__(self, request: VideoRequest) -> None:
        self.detector: Detector = MTCNNDetector(DetectorSettings())
        self.recognizer: Recognizer = load_recognizer(request.recognizer)
        self.same = self.recognizer.threshold(_FMR)
        self.single: Anonymizer | None = None
        if request.one_by_one:
            settings = AnonymizeSettings(loop=LoopSettings(gallery=False))
            self.single = build_anonymizer(settings, SeedKey(b"evaluate video"), {})

    def look(self, version: _Seen, pixels: ImageArray, placement: Placement, found: Sequence[Detection]) -> None:
        """Note how one version of a frame shows the face of a track."""
        box, five = placement.detection.box, placement.detection.landmarks
        nearest = max(found, key=lambda face: iou(face.box, box), default=None)
        hit = nearest is not None and iou(nearest.box, box) >= _SAME_FACE
        version.landmarks.append(nearest.landmarks if nearest is not None and hit else None)
        version.embeddings.append(self.recognizer.embed([pixels], [five])[0])
        version.widths.append(box[2] - box[0])
        version.luminances.append(stability.luminance(pixels, box))
        version.crops.append(stability.aligned(pixels, five).astype(np.float32))


def evaluate_video(request: VideoRequest) -> tuple[Path, Path]:
    """Run the experiment and write video.json and video.md."""
    names = _videos(request.source)
    eyes, tracks, frames, withheld = _Eyes(request), list[Versions](), 0, list[str]()
    for name in names:
        if not (request.released / name).is_file():
            withheld.append(name)
            continue
        found, count = _one_video(request, name, eyes)
        tracks += found
        frames += count
    usable = [track for track in tracks if len(track["original"].widths) >= _FEWEST]
    if not usable:
        raise InputError(
            f"{request.released} holds no released video of {request.source} with a face in {_FEWEST} frames"
        )
    facts = {
        "experiment": "cfanet evaluate video",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "data": names,
        "data SHA-256": _digest(request.source, names),
        "not released": withheld or "none",
        "frames": frames,
        "limit of frames a video": request.limit if request.limit is not None else "none",
        "tracks": f"{len(usable)} of {len(tracks)} seen in {_FEWEST} frames or more",
        "recognizer": {eyes.recognizer.name: eyes.recognizer.digest},
        "versions": {name: version(name) for name in ("cfanet", "torch", "numpy", "av", "facenet-pytorch")},
    }
    tables = [_stability("Stability from frame to frame", _EVERY_TRACK, usable)]
    if throughout := [track for track in usable if all(map(_whole, track.values()))]:
        tables.append(_stability("Stability of faces that stay faces", _THROUGHOUT, throughout))
    return write_document(request.out, "video", facts, [*tables, _identity(usable, eyes.same)])


def _one_video(request: VideoRequest, name: str, eyes: _Eyes) -> tuple[list[Versions], int]:
    """The tracks of one video, and the number of frames that were read; crops and embeddings are kept, frames not."""
    faces: list[list[Detection]] = []
    known: list[FrameFaces] = []
    scenes = SceneChanges()
    for frame in _frames(request.source / name, request.limit):
        found = eyes.detector.detect(frame.pixels)
        rows = eyes.recognizer.embed([frame.pixels] * len(found), [face.landmarks for face in found])
        faces.append(found)
        known.append(FrameFaces(frame.time_s, tuple(map(Sighting, found, rows)), scenes.begins(frame.pixels)))
    tracks = track_faces(known, VideoSettings(), eyes.same)
    placed = by_frame(tracks)
    versions: list[Versions] = [{} for _ in tracks]
    both = zip(
        _frames(request.source / name, request.limit), _frames(request.released / name, request.limit), strict=False
    )
    for before, after in both:
        if before.pixels.shape != after.pixels.shape or before.time_s != after.time_s:
            raise InputError(f"{name}: frame {before.number} is not the same in both folders: release it again")
        shown = {"original": before.pixels, "released": after.pixels}
        if eyes.single is not None:
            key = f"{name}:{before.number}"
            alone = eyes.single.run([before.pixels], [key], [faces[before.number]])[0].image
            assert alone is not None, "this anonymizer withholds nothing"
            shown["one by one"] = alone
        seen = {index: p for index, p in placed.get(before.number, {}).items() if p.seen}
        for version_name, pixels in shown.items() if seen else ():
            found = faces[before.number] if version_name == "original" else eyes.detector.detect(pixels)
            for index, placement in seen.items():
                eyes.look(versions[index].setdefault(version_name, _Seen()), pixels, placement, found)
    return [track for track in versions if track], len(known)


def _whole(version: _Seen) -> bool:
    """Whether the detector sees a face in every frame of one version of a track."""
    return all(five is not None for five in version.landmarks)


def _stability(title: str, about: str, tracks: Sequence[Versions]) -> Table:
    rows: list[list[Cell]] = []
    for version_name in tracks[0]:
        seen = [track[version_name] for track in tracks]
        whole = [s for s in seen if _whole(s)]
        jitters = [stability.jitter([f for f in s.landmarks if f is not None], s.widths) for s in whole]
        found = [five is not None for s in seen for five in s.landmarks]
        rows.append(
            [
                version_name,
                mean([stability.consecutive_similarity(np.stack(s.embeddings)) for s in seen]),
                mean([stability.similarity_to_mean(np.stack(s.embeddings)) for s in seen]),
                mean(jitters),
                mean([stability.flicker(s.luminances) for s in seen]),
                mean([stability.restlessness(s.crops) for s in seen]),
                proportion(sum(found), len(found)),
            ]
        )
    columns = (
        "cosine of neighbours",
        "cosine with the track's mean",
        "landmark jitter, %",
        "flicker",
        "pixels",
        "found",
    )
    return Table(title, about, ("version", *columns), rows)


_EVERY_TRACK = (
    "Tracks of faces that MTCNN sees in the original, also where what was released is a cover; faces are embedded at "
    "the original's landmarks, smoothed. Means over tracks. Jitter: root mean square of the second difference of "
    "MTCNN's landmarks in each version, in per cent of the face's width, tracks found in every frame. Flicker: change "
    "of the face box's mean brightness. Pixels: change of the aligned face. Grey levels, both. Found: frames in which "
    "MTCNN sees a face in its place; the interval takes frames as independent, which they are not."
)
_THROUGHOUT = "The same of tracks in which MTCNN sees a face in every frame of every version: none that is covered."


def _identity(tracks: Sequence[Versions], same: float) -> Table:
    rows: list[list[Cell]] = []
    for version_name in tracks[0]:
        if version_name == "original":
            continue
        both = [_similarities(track["original"], track[version_name]) for track in tracks]
        shown = [similarities for similarities in both if len(similarities)]
        if shown:
            matched = sum(int((s >= same).any()) for s in shown)
            means = [mean([float(of(s)) for s in shown]) for of in (np.mean, np.max)]
            rows.append([version_name, *means, proportion(matched, len(shown))])
    return Table(
        "Distance from the original",
        f"Cosine of each frame with its own original; same person from {same:.3f} on (FMR {_FMR:g}). Only frames in "
        "which MTCNN sees a face in its place: a cover has no face to compare, and recognizers take featureless crops "
        "for anybody's. Last column: tracks of which at least one frame is matched. Means over tracks.",
        ("version", "mean of a track", "highest of a track", "tracks matched"),
        rows,
    )


def _similarities(original: _Seen, other: _Seen) -> np.ndarray:
    """Of each frame in which there is a face to compare."""
    every: np.ndarray = (np.stack(original.embeddings) * np.stack(other.embeddings)).sum(1)
    return every[[five is not None for five in other.landmarks]]


def _videos(folder: Path) -> list[str]:
    paths = sorted(path for path in folder.rglob("*") if path.suffix[1:].lower() in VIDEO_EXTENSIONS)
    if not paths:
        raise InputError(f"SRC {folder} holds no video: give the folder of the originals")
    return [path.relative_to(folder).as_posix() for path in paths]


def _frames(path: Path, limit: int | None) -> Iterator[Frame]:
    with path.open("rb") as file:
        try:
            yield from itertools.islice(read_frames(file, path.suffix[1:].lower(), 64.0), limit)
        except PictureError as error:
            raise InputError(f"{path} cannot be read ({error.detail}): leave it out") from error


def _digest(folder: Path, names: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for name in names:
        with (folder / name).open("rb") as file:
            digest.update(f"{name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()
