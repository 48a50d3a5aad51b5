"""Enrolment: faces of the originals become references under pseudonyms."""

import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from audit.duplicates import fingerprint
from audit.records import EnrolledFace, EnrolledPicture
from cfanet.boxes import area
from cfanet.records import Detection, Detector, ImageArray, Recognizer
from cfanet.structure import face_patch

_SALT_FILE = "pseudonyms.key"
_PSEUDONYM_CHARS = 16
_FILE_CHARS = 32  # a dataset has more files than people


@dataclass(frozen=True, eq=False)
class Original:
    """One source picture to enrol. Give `detections` when the faces are already known."""

    sample_key: str
    input_sha256: str
    pixels: ImageArray  # (H, W, 3) uint8 RGB, upright
    subject_label: str = ""  # the owner's label of the person; "" for none
    detections: Sequence[Detection] | None = None
    labels: Mapping[str, str] = field(default_factory=dict)  # groups of people, by the owner's fields


class Pseudonyms:
    """Keyed hashes of subject labels: equal labels give equal pseudonyms, and the key never leaves the gallery."""

    def __init__(self, key: bytes) -> None:
        """Use `key`, at least 16 bytes; ValueError when it is shorter."""
        if len(key) < 16:
            raise ValueError(f"a pseudonym key of {len(key)} bytes can be guessed: use at least 16")
        self._key = key

    @classmethod
    def of_gallery(cls, gallery_dir: Path) -> "Pseudonyms":
        """Read the key of a gallery, drawing it once; deleting the file makes the pseudonyms anonymous for good."""
        gallery_dir.mkdir(parents=True, exist_ok=True)
        path = gallery_dir / _SALT_FILE
        draft = path.with_name(f".{_SALT_FILE}.{secrets.token_hex(8)}")
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(secrets.token_bytes(32))
            os.link(draft, path)  # refuses to replace: of several workers, one draws the key
        except FileExistsError:
            pass
        finally:
            draft.unlink(missing_ok=True)
        return cls(path.read_bytes())

    def of(self, label: str) -> str:
        """Pseudonym of a label, 16 hex characters; "" stays ""."""
        return self._hash(label)[:_PSEUDONYM_CHARS] if label else ""

    def of_file(self, path: str) -> str:
        """Pseudonym of a file's path, 32 hex characters."""
        return self._hash(f"file:{path}")[:_FILE_CHARS]

    def _hash(self, text: str) -> str:
        return hmac.new(self._key, text.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()


class Enroller:
    """Finds and embeds the faces of originals."""

    def __init__(self, detector: Detector, recognizers: Mapping[str, Recognizer], pseudonyms: Pseudonyms) -> None:
        """Use the anonymizer's kind of detector, so that faces of gallery and ledger correspond."""
        self._detector = detector
        self._recognizers = dict(recognizers)
        self._pseudonyms = pseudonyms

    @property
    def sizes(self) -> dict[str, int]:
        """How many numbers a face's vector has, by recognizer."""
        return {name: recognizer.dim for name, recognizer in self._recognizers.items()}

    def enrol(self, originals: Sequence[Original]) -> list[EnrolledPicture]:
        """Enrol pictures, in order. A subject label is given to the largest face; the others are nobody known."""
        found = [list(self._detector.detect(o.pixels) if o.detections is None else o.detections) for o in originals]
        images = [o.pixels for o, faces in zip(originals, found, strict=True) for _ in faces]
        landmarks = [face.landmarks for faces in found for face in faces]
        embedded = {name: r.embed(images, landmarks) for name, r in self._recognizers.items()} if images else {}
        pictures, row = [], 0
        for original, faces in zip(originals, found, strict=True):
            largest = _largest(faces)
            enrolled = []
            for index, face in enumerate(faces):
                subject = self._pseudonyms.of(original.subject_label) if index == largest else ""
                vectors = {name: rows[row] for name, rows in embedded.items()}
                patch = face_patch(original.pixels, face.box)
                enrolled.append(EnrolledFace(original.sample_key, index, subject, face, vectors, patch))
                row += 1
            pictures.append(_picture(original, tuple(enrolled)))
        return pictures


def _picture(original: Original, faces: tuple[EnrolledFace, ...]) -> EnrolledPicture:
    height, width = original.pixels.shape[:2]
    return EnrolledPicture(
        sample_key=original.sample_key,
        input_sha256=original.input_sha256,
        faces=faces,
        fingerprint=fingerprint(original.pixels),
        width=width,
        height=height,
        labels=original.labels,
    )


def _largest(faces: Sequence[Detection]) -> int:
    """Position of the face with the largest box, the first of equals; −1 when there is none."""
    areas = [area(face.box) for face in faces]
    return areas.index(max(areas)) if areas else -1
