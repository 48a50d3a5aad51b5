"""What every experiment starts from: samples, examiner, ways to anonymize, and the facts that go into its document."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from cfanet.config import AnonymizeSettings, DetectorSettings
from cfanet.detect import MTCNNDetector
from cfanet.errors import ConfigError
from cfanet.recognizers import load_recognizer
from cfanet.records import Recognizer
from cfanet.search import References
from training.evaluation.anonymized import FolderMaker, Maker, PictureMaker, Released, without_loop
from training.evaluation.cache import Cache
from training.evaluation.detectors import Observer
from training.evaluation.document import Table, write_document
from training.evaluation.faces import Examiner, Look
from training.evaluation.methods import MethodChoice, parse_method
from training.evaluation.progress import progress
from training.evaluation.samples import Photo, Sample, list_samples, list_shards, shards_digest


@dataclass(frozen=True)
class Request:
    """What the command line asked for."""

    source: Path
    out: Path
    recognizers: tuple[str, ...]
    limit: int | None = None
    generator: str = "default"
    method: str = "cfa"
    angle_deg: float | None = None  # None: the product's default
    loops: tuple[str, ...] = ("on",)
    seed: int = 0
    device: str = "cpu"
    keys: tuple[str, ...] | None = None  # use these pictures, in this order, instead of the first `limit`
    whole_gallery: bool = False  # with a limit: thresholds, ranks, the loop's gallery are still of all pictures
    cache: Path | None = None  # folder of the private cache; None: `out`

    @property
    def settings(self) -> AnonymizeSettings:
        """The anonymizer's settings, loop on; ConfigError for an unknown method or an angle out of range."""
        angle = AnonymizeSettings().angle_deg if self.angle_deg is None else self.angle_deg
        if not 0.0 <= angle <= 180.0:
            raise ConfigError(f"angle {angle:g} is not in [0, 180] degrees: give another --angle")
        values = {**self.choice.settings, "generator": self.generator, "angle_deg": angle}
        return AnonymizeSettings.model_validate(values)

    @property
    def choice(self) -> MethodChoice:
        """What `method` means; ConfigError when it means nothing."""
        return parse_method(self.method)


@dataclass(frozen=True, eq=False)
class Subject:
    """One picture whose subject was found."""

    sample: Sample
    look: Look

    @property
    def face(self) -> int:
        """Position of the subject among the picture's faces."""
        assert self.look.subject is not None
        return self.look.subject


class Bench:
    """Samples, examiner and makers of one run of one experiment."""

    def __init__(self, request: Request) -> None:
        """Open the shards and load the recognizers; an InputError says what cannot be used."""
        unknown = [loop for loop in request.loops if loop not in ("on", "off")]
        if unknown:
            raise ConfigError(f"--loop {unknown[0]!r}: use on or off")
        self.request = request
        self.shards = list_shards(request.source)
        self.samples = list_samples(self.shards)
        self.settings = request.settings
        request.out.mkdir(parents=True, exist_ok=True)
        self.cache = Cache((request.cache or request.out) / "cache.sqlite")
        recognizers = [_recognizer(spec, request.device) for spec in request.recognizers]
        detector_settings: DetectorSettings = self.settings.detector
        detector = _detector(detector_settings, request.device)
        by_name = {recognizer.name: recognizer for recognizer in recognizers}
        self.examiner = Examiner(self.cache, detector, detector_settings, by_name)
        self.judges = tuple(by_name)
        self.observer = Observer(self.cache, request.device)
        self._gallery_faces = 0  # of the loop that was built last

    def chosen(self) -> tuple[Sample, ...]:
        """The samples of `keys`; without them the first `limit`, or all."""
        if self.request.keys is not None:
            by_key = {sample.key: sample for sample in self.samples}
            return tuple(by_key[key] for key in self.request.keys)
        return self.samples[: self.request.limit]

    def looks(self, samples: Sequence[Sample]) -> dict[str, Look]:
        """Faces of the raw pictures, by sample key."""
        return {s.key: self.examiner.look(s.photo()) for s in progress(samples, "detect")}

    def subjects(self, samples: Sequence[Sample]) -> list[Subject]:
        """The pictures in which the subject is found; the others are failures to acquire."""
        looks = self.looks(samples)
        return [Subject(s, looks[s.key]) for s in samples if looks[s.key].subject is not None]

    def embeddings(self, samples: Sequence[Sample], looks: Mapping[str, Look]) -> dict[str, dict[str, np.ndarray]]:
        """Raw subjects by recognizer and sample key; pictures without a subject are left out."""
        found: dict[str, dict[str, np.ndarray]] = {name: {} for name in self.judges}
        for sample in progress(samples, f"embed ({', '.join(self.judges)})"):
            face = looks[sample.key].main
            if face is None:
                continue
            photo = sample.photo()
            for name in self.judges:
                found[name][sample.key] = self.examiner.embed(name, photo, face.landmarks)
        return found

    def maker(
        self, loop: str, looks: Mapping[str, Look], angle_deg: float | None = None, seed: int = 0
    ) -> PictureMaker:
        """One way to anonymize. The loop's gallery, as in a release, is every face of SRC where all of it is wanted;
        else every face of `looks`.
        """
        if self.request.choice.released is not None:
            return FolderMaker(self.request.choice.released)
        settings = self.settings if angle_deg is None else self.settings.model_copy(update={"angle_deg": angle_deg})
        seed += self.request.seed
        if loop == "off" or settings.method != "cfa":
            return Maker(self.cache, without_loop(settings), seed, {}, self.request.device)
        first = Maker(self.cache, settings, seed, {}, self.request.device)
        galleries = self._galleries(first, self.looks(self.samples) if self.request.whole_gallery else looks)
        return Maker(self.cache, settings, seed, galleries, self.request.device)

    def enrol(self, looks: Mapping[str, Look]) -> None:
        """Embed the faces of `looks` for the loop's gallery; nothing to do for a method without one."""
        if self.settings.method == "cfa":
            self._galleries(Maker(self.cache, self.settings, self.request.seed, {}, self.request.device), looks)

    def conditions(self, loop: str) -> str:
        """For a protocol: what the loop checked, of the way to anonymize that was built last."""
        if self.settings.method != "cfa":
            return "No loop."
        if loop == "off":
            return "Loop off: the first new identity at the angle is taken."
        settings = self.settings.loop
        own = f"FMR {settings.original_fmr:g}" if settings.original_fmr is not None else "its loosest FMR up to 0.01"
        others = f"FMR {settings.gallery_fmr:g}" if settings.gallery_fmr is not None else "FMR 0.0001 where known"
        pictures = "all pictures of the data" if self.request.whole_gallery else "the pictures used"
        return (
            f"Loop on, as in a release: a new face must stay {settings.margin:g} below the threshold of "
            f"{', '.join(settings.recognizers)} at {own} towards its own original and at "
            f"{others} towards the gallery of originals: all {self._gallery_faces:,} faces of {pictures}, its "
            f"own subject's among them; "
            f"at most {settings.max_attempts} attempts of {settings.candidates} new faces (each the one of "
            f"{settings.draws} draws that is furthest from everybody of the gallery), of which the least changed that "
            f"passes is taken."
        )

    def variants(self) -> tuple[tuple[str, str], ...]:
        """(name, loop) of each way to anonymize that was asked for; the classic methods have no loop."""
        if self.settings.method != "cfa":
            return ((self.request.choice.name, "off"),)
        return tuple((f"cfa, loop {loop}", loop) for loop in dict.fromkeys(self.request.loops))

    def release(
        self, maker: PictureMaker, subjects: Sequence[Subject], what: str
    ) -> Iterator[tuple[Subject, Photo, Released]]:
        """Anonymize the pictures one by one: (subject, raw picture, released picture)."""
        for subject in progress(subjects, what):
            photo = subject.sample.photo()
            yield subject, photo, maker.make(subject.sample.key, photo, subject.look)

    def write(
        self,
        experiment: str,
        tables: Sequence[Table],
        notes: Mapping[str, Any],
        drawn: Mapping[str, np.ndarray] | None = None,
    ) -> tuple[Path, Path]:
        """Write the document of a finished experiment, and beside it as .npz the values that figures are drawn from."""
        maker = self.maker("off", {})
        facts = {
            "experiment": f"cfanet evaluate {experiment}",
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "data": [shard.name for shard in self.shards],
            "data SHA-256": shards_digest(self.shards),
            "pictures in the data": len(self.samples),
            "limit": self.request.limit if self.request.limit is not None else "none",
            "method": self.request.choice.name,
            "model SHA-256": maker.model_digest,
            "settings": self.settings.model_dump(mode="json", exclude={"generator"}),
            "seed": self.request.seed,
            "recognizers": {name: self.examiner.recognizers[name].digest for name in self.judges},
            "versions": {name: version(name) for name in ("cfanet", "torch", "numpy", "dlib-bin", "facenet-pytorch")},
            **notes,
        }
        name = experiment if self.settings.method == "cfa" else f"{experiment}-{self.request.choice.name}"
        if drawn is not None:
            self.request.out.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(self.request.out / f"{name}.npz", allow_pickle=False, **drawn)
        return write_document(self.request.out, name, facts, tables)

    def _galleries(self, maker: Maker, looks: Mapping[str, Look]) -> dict[str, References]:
        """Every face of the raw pictures as the loop's own recognizers see it, as a release enrols them."""
        samples = [sample for sample in self.samples if sample.key in looks]
        recognizers = maker.anonymizer.loop_recognizers
        self.examiner.recognizers.update(recognizers)
        galleries = {}
        for name in recognizers:
            ids: list[str] = []
            rows: list[np.ndarray] = []
            for sample in progress(samples, f"loop's gallery ({name})"):
                photo = sample.photo()
                for index, face in enumerate(looks[sample.key].faces):
                    try:
                        rows.append(self.examiner.embed(name, photo, face.landmarks))
                    except ValueError:  # five points that no similarity transform can come from
                        continue
                    ids.append(f"{sample.key}#{index}")
            if rows:
                galleries[name] = References(tuple(ids), np.stack(rows))
                self._gallery_faces = len(ids)
        return galleries


@cache
def _recognizer(spec: str, device: str) -> Recognizer:
    """Loaded once in a process, whatever experiments run in it."""
    return load_recognizer(spec, device)


@cache
def _detector(settings: DetectorSettings, device: str) -> MTCNNDetector:
    """Loaded once in a process."""
    return MTCNNDetector(settings, device)
