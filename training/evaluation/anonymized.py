"""Anonymized pictures of an experiment, made by `Anonymizer.run` alone and kept in the cache as released bytes."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cfanet.anonymizer
from cfanet.anonymizer import Anonymizer, build_anonymizer
from cfanet.config import AnonymizeSettings, LoopSettings
from cfanet.errors import InputError
from cfanet.images import Picture, encode
from cfanet.recognizers import file_digest
from cfanet.records import FaceDecision
from cfanet.search import References
from cfanet.seeds import SeedKey
from training.evaluation.cache import Cache, code_digest, key_of
from training.evaluation.faces import Look
from training.evaluation.samples import Photo

_EXTENSIONS = {".jpg", ".jpeg", ".png", ".webp"}
_NEVER_REFUSED = 2.0  # a similarity that no face reaches, not even one whose generator ignores the identity


@dataclass(frozen=True)
class Fate:
    """What the anonymizer did with one face."""

    decision: str
    method: str
    attempts: int
    requested_deg: float | None
    measured_deg: float | None


@dataclass(frozen=True, eq=False)
class Released:
    """A picture as it would be released: encoded, and decoded again by whoever looks at it."""

    photo: Photo
    fates: tuple[Fate, ...]  # in the order of the original's faces

    def replaced(self, face: int) -> bool:
        """True when this face got a new one, false when it was obscured instead."""
        return self.fates[face].decision == FaceDecision.REPLACED


class PictureMaker(Protocol):
    """Gives the released picture of an original."""

    @property
    def model_digest(self) -> str:
        """SHA-256 of what made the pictures, hex."""
        ...

    def make(self, name: str, photo: Photo, look: Look) -> Released:
        """The released picture of the sample `name`."""
        ...


class FolderMaker:
    """Pictures that another program made: `<key>.jpg` and the like in a folder."""

    def __init__(self, folder: Path) -> None:
        """List the folder."""
        self._files = {path.stem: path for path in sorted(folder.rglob("*")) if path.suffix.lower() in _EXTENSIONS}
        self._folder = folder

    @property
    def model_digest(self) -> str:
        """SHA-256 of all the pictures."""
        return key_of(*(part for stem, path in self._files.items() for part in (stem, file_digest(path))))

    def make(self, name: str, photo: Photo, look: Look) -> Released:
        """The file of that name; InputError where there is none, or its size is not the original's."""
        if name not in self._files:
            raise InputError(f"{self._folder} holds no picture {name}: let the program write one for every original")
        released = Photo(self._files[name].read_bytes())
        if released.picture.pixels.shape != photo.picture.pixels.shape:
            sizes = [f"{p.picture.pixels.shape[1]} × {p.picture.pixels.shape[0]}" for p in (released, photo)]
            raise InputError(f"{self._files[name]} is {sizes[0]}, its original {sizes[1]}: keep the size")
        fate = Fate(str(FaceDecision.REPLACED), self._folder.name, 1, None, None)
        return Released(released, tuple(fate for _ in look.faces))


class Maker:
    """One way to anonymize (method, generator, angle, loop, seed), behind a cache."""

    def __init__(
        self, cache: Cache, settings: AnonymizeSettings, seed: int, galleries: Mapping[str, References], device: str
    ) -> None:
        """Loads the generator; WeightsError or ConfigError says what cannot be loaded."""
        self.settings = settings
        self._cache = cache
        key = evaluation_key(seed)
        self.anonymizer: Anonymizer = build_anonymizer(settings, key, galleries, device)
        parts = [f"{name}:{_gallery_digest(references)}" for name, references in sorted(galleries.items())]
        sources = Path(str(cfanet.anonymizer.__file__)).parent.rglob("*.py")
        digests = [recognizer.digest for recognizer in self.anonymizer.loop_recognizers.values()]
        self._digest = key_of(
            settings.model_dump_json(exclude={"generator": True, "donors": {"file"}}),
            self.anonymizer.model_digest,
            key.fingerprint,
            code_digest(*sources),
            device,
            *digests,
            *parts,
        )

    @property
    def model_digest(self) -> str:
        """SHA-256 of the generator, or of what the method borrows from."""
        return self.anonymizer.model_digest

    def make(self, name: str, photo: Photo, look: Look) -> Released:
        """Anonymize a picture whose faces are known; `name` is its sample key, on which the randomness depends."""
        boxes = json.dumps([[*face.box, face.landmarks.tolist()] for face in look.faces])
        key = key_of("released", self._digest, name, photo.digest, boxes)
        value = self._cache.get(key)
        if value is None:
            value = self._run(name, photo, look)
            self._cache.put(key, value)
        header, _, data = value.partition(b"\n")
        return Released(Photo(data), tuple(Fate(**fate) for fate in json.loads(header)))

    def _run(self, name: str, photo: Photo, look: Look) -> bytes:
        result = self.anonymizer.run([photo.picture.pixels], [name], [list(look.faces)])[0]
        assert result.image is not None, "these settings obscure what cannot be replaced"
        fates = [
            {
                "decision": str(face.decision),
                "method": face.method,
                "attempts": face.attempts,
                "requested_deg": face.requested_angle_deg,
                "measured_deg": face.measured_angle_deg,
            }
            for face in result.faces
        ]
        data = encode(Picture(result.image, photo.picture.format), self.settings.jpeg_quality)
        return json.dumps(fates).encode() + b"\n" + data


def evaluation_key(seed: int) -> SeedKey:
    """A known key, so that an experiment can be repeated; never one for a release."""
    return SeedKey(hashlib.sha256(f"cfanet evaluate {seed}".encode()).digest())


def without_loop(settings: AnonymizeSettings) -> AnonymizeSettings:
    """The same with the loop off: the first sample at the asked angle is taken, whatever it looks like."""
    open_loop = LoopSettings(
        threshold=_NEVER_REFUSED, margin=0.0, max_structure=1.0, gallery=False, max_attempts=1, candidates=1
    )
    return settings.model_copy(update={"loop": open_loop})


def _gallery_digest(references: References) -> str:
    return key_of(*references.ids, references.embeddings.tobytes())
