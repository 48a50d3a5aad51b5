"""The seam between moving data and looking at pictures: what a worker needs built, and who builds it."""

import json
from collections.abc import Mapping, Sequence
from typing import Protocol

from audit.second_detector import SecondDetector
from cfanet.assigned import TrackAnonymizer
from cfanet.errors import ConfigError
from cfanet.records import Detection, Detector, ImageArray, ImageResult, Recognizer
from cfanet.search import References
from cfanet.seeds import SeedKey
from jobs.config import ReleaseConfig


class PictureAnonymizer(TrackAnonymizer, Protocol):
    """What a worker needs of `cfanet.anonymizer.Anonymizer`."""

    @property
    def model_digest(self) -> str:
        """SHA-256 of the generator, or of the method's name."""
        ...

    @property
    def loop_recognizers(self) -> Mapping[str, Recognizer]:
        """The recognizers that check each new face, by name."""
        ...

    def run(
        self,
        images: Sequence[ImageArray],
        ids: Sequence[str],
        detections: Sequence[list[Detection]] | None = None,
        named: Sequence[Mapping[int, str]] | None = None,
    ) -> list[ImageResult]:
        """Anonymize (H, W, 3) uint8 RGB pictures; the result of one does not depend on the others.

        `named` are faces of each that get no new face, by index, and why.
        """
        ...

    def check_released(
        self, original: ImageArray, released: ImageArray, result: ImageResult, moving: bool = False
    ) -> list[Detection]:
        """Faces of the released picture, or frame of a video, whose pixels are unchanged; must be empty."""
        ...


class Tools(Protocol):
    """Builds the parts of a worker, each when it is asked for, from the configuration it was made with."""

    def __init__(self, config: ReleaseConfig) -> None: ...

    def detector(self) -> Detector:
        """The anonymizer's detector."""
        ...

    def loop_recognizers(self) -> dict[str, Recognizer]:
        """Recognizers that check each new face, by name."""
        ...

    def training_guides(self) -> dict[str, str]:
        """Recognizers that taught the generator: SHA-256 of their weights by name."""
        ...

    def judges(self) -> dict[str, Recognizer]:
        """The auditor's recognizers, by name."""
        ...

    def second_detector(self) -> SecondDetector:
        """The auditor's detector."""
        ...

    def anonymizer(self, key: SeedKey, galleries: Mapping[str, References]) -> PictureAnonymizer:
        """The anonymizer; it looks `galleries` up, by loop recognizer, when it runs."""
        ...


class RealTools:
    """The networks of this package. Imports are late: a command that needs none of them stays quick."""

    def __init__(self, config: ReleaseConfig) -> None:
        """Build for `config`; nothing is loaded yet."""
        self._config = config

    def detector(self) -> Detector:
        """MTCNN."""
        from cfanet.detect import MTCNNDetector

        return MTCNNDetector(self._config.anonymize.detector, self._config.device)

    def loop_recognizers(self) -> dict[str, Recognizer]:
        """Those of `anonymize.loop.recognizers`, the generator's own identity branch included."""
        from cfanet.anonymizer import build_anonymizer

        # The key only seeds new faces; enrolment makes none.
        anonymizer = build_anonymizer(self._config.anonymize, SeedKey.random(), {}, self._config.device)
        return dict(anonymizer.loop_recognizers)

    def training_guides(self) -> dict[str, str]:
        """Those that the generator's file names; none for a method without a generator."""
        from cfanet.weights import load_generator

        if self._config.anonymize.method != "cfa":
            return {}
        guides: dict[str, str] = json.loads(
            load_generator(self._config.anonymize.generator).metadata.get("guides", "{}")
        )
        return guides

    def judges(self) -> dict[str, Recognizer]:
        """Those of `audit.recognizers`; ConfigError when two have the same name."""
        from cfanet.recognizers import load_recognizer

        judges: dict[str, Recognizer] = {}
        for spec in self._config.audit.recognizers:
            recognizer = load_recognizer(spec, self._config.device)
            if recognizer.name in judges:
                raise ConfigError(f"audit.recognizers names {recognizer.name!r} twice: rename one of the files")
            judges[recognizer.name] = recognizer
        return judges

    def second_detector(self) -> SecondDetector:
        """The one of `audit.second_detector`."""
        from audit.second_detector import build_second_detector

        return build_second_detector(self._config.audit)

    def anonymizer(self, key: SeedKey, galleries: Mapping[str, References]) -> PictureAnonymizer:
        """CFA-Net, or an obscurer, with its closed loop."""
        from cfanet.anonymizer import build_anonymizer

        return build_anonymizer(self._config.anonymize, key, galleries, self._config.device)
