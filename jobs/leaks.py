"""What else the output holds: names in file names and members, raw copies of pictures, files that nobody recorded."""

import hashlib
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from audit.duplicates import Originals
from audit.enrol import Pseudonyms
from audit.gallery import read_names
from audit.names import NameFinder
from audit.records import Finding
from cfanet.errors import PictureError
from cfanet.images import decode
from jobs.codecs.shard import Sample, printable
from jobs.config import ReleaseConfig
from jobs.manifest import Manifest
from jobs.pictures import looks_like_picture
from jobs.storage import PRIVATE_FOLDER, LocalStorage

_SOI = b"\xff\xd8\xff"  # a JPEG begins; inside another file: a thumbnail
_RECORDS = ("manifest/", "ledger/", "quarantine/", "tmp/", "evidence.sqlite")
_RECORD_FILES = {"run.json", "report.json", "report.html", "chain.json"}


class LeakScanner:
    """Looks at the members of the output, whatever they claim to be."""

    def __init__(self, config: ReleaseConfig) -> None:
        """Search for the people and the pictures of the configured gallery."""
        gallery = config.gallery_dir
        self._names = NameFinder(Pseudonyms.of_gallery(gallery), read_names(gallery))
        self._originals = Originals(gallery, config.audit.near_duplicate_correlation)
        self._max_megapixels = config.audit.max_megapixels

    def sample(self, sample: Sample) -> Iterator[Finding]:
        """Findings in one released sample; members must have been read."""
        for member in sample.members:
            own = sample.picture_id(member) if member.is_picture else ""
            yield from self.member(printable(member.name), member.data or b"", own)

    def member(self, name: str, data: bytes, own_key: str = "") -> Iterator[Finding]:
        """Findings in one file: its name, its text, its picture and the pictures hidden in it."""
        if self._names.path_holds_name(name):
            yield Finding("name", name, "the file name holds the name of an enrolled person")
        if looks_like_picture(data):
            yield from self._picture(name, data, own_key, "shows the untouched face of")
        elif self._names.holds_name(data.decode("utf-8", "replace")):
            yield Finding("name", name, "the content holds the name of an enrolled person")
        start = data.find(_SOI, 1)
        while start > 0:
            yield from self._picture(name, data[start:], "", "has an embedded picture with the face of")
            start = data.find(_SOI, start + 1)

    def _picture(self, name: str, data: bytes, own_key: str, words: str) -> Iterator[Finding]:
        try:
            pixels = decode(data, self._max_megapixels).pixels
        except PictureError:
            return  # the audit of the picture itself reports it
        for found in self._originals.find(pixels, own_key):
            yield Finding("near_duplicate", name, f"{words} {found.reference_id}")

    def strays(self, destination: LocalStorage, manifests: Iterable[Manifest], release_file: str) -> list[Finding]:
        """Files of the destination that no manifest mentions, and what they hold."""
        known = {output.path for manifest in manifests for output in manifest.outputs} | {release_file}
        paths = [entry.path for entry in destination.list() if entry.path not in known]
        private = destination.root / PRIVATE_FOLDER
        records = [p.relative_to(private).as_posix() for p in sorted(private.rglob("*")) if p.is_file()]
        paths += [
            f"{PRIVATE_FOLDER}/{path}"
            for path in records
            if path not in _RECORD_FILES and not path.startswith(_RECORDS)
        ]
        found: list[Finding] = []
        for path in paths:
            found.append(Finding("stray", printable(path), "no manifest mentions this file"))
            for name, data in _contents(destination.root / path, printable(path)):
                found += self.member(name, data)
        return found


def _contents(path: Path, name: str) -> Iterator[tuple[str, bytes]]:
    """The file itself, or the members of a tar."""
    if tarfile.is_tarfile(path):
        with tarfile.open(path) as archive:
            for header in archive:
                file = archive.extractfile(header)
                if file is not None:
                    yield f"{name}/{printable(header.name)}", file.read()
        return
    yield name, path.read_bytes()


def files_digests(root: Path, paths: Iterable[str]) -> dict[str, str]:
    """SHA-256 of files by path; a missing one is left out."""
    found = {}
    for path in paths:
        if (root / path).is_file():
            with (root / path).open("rb") as file:
                found[path] = hashlib.file_digest(file, "sha256").hexdigest()
    return found
