"""What else the output holds: names in file names and members, raw copies of pictures, files that nobody recorded."""

import tarfile
from collections.abc import Iterable, Iterator

from audit.duplicates import Originals, read_fingerprints
from audit.gallery import read_names, read_shard
from audit.names import NameFinder
from audit.records import EnrolledPicture, Finding
from cfanet.errors import PictureError
from cfanet.images import decode
from jobs.codecs.shard import Sample, WorkItem, printable
from jobs.config import ReleaseConfig
from jobs.gallery_store import GalleryStore
from jobs.manifest import Manifest
from jobs.pictures import gallery_id, looks_like_picture
from jobs.storage import PRIVATE_FOLDER, Storage

_SOI = b"\xff\xd8\xff"  # a JPEG begins; inside another file: a thumbnail
_RECORDS = ("manifest/", "ledger/", "quarantine/", "obscure/", "tmp/", "evidence.sqlite")
_RECORD_FILES = {"run.json", "report.json", "report.html", "chain.json"}


class LeakScanner:
    """Looks at the members of the output, whatever they claim to be."""

    def __init__(self, config: ReleaseConfig) -> None:
        """Search for the people and the pictures of the configured gallery."""
        self._gallery = GalleryStore(config.gallery_uri)
        with self._gallery.whole() as folder:
            self._names = NameFinder(self._gallery.pseudonyms(), read_names(folder))
            entries = read_fingerprints(folder)
        limits = (config.audit.near_duplicate_correlation, config.audit.left_face_correlation)
        self._originals = Originals(entries, self._enrolled, *limits)
        self._max_megapixels = config.audit.max_megapixels

    def _enrolled(self, shard: str) -> list[EnrolledPicture]:
        with self._gallery.shard(shard) as folder:
            return read_shard(folder, shard)

    def sample(self, item: WorkItem, sample: Sample) -> Iterator[Finding]:
        """Findings in one released sample of a work item; members must have been read."""
        for member in sample.members:
            own = gallery_id(item, sample.picture_id(member)) if member.is_picture else ""
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
        for found in self._originals.left(pixels, own_key):
            yield Finding("near_duplicate", name, f"still shows the untouched face of {found.reference_id}")
        for found in self._originals.find(pixels, own_key):
            yield Finding("near_duplicate", name, f"{words} {found.reference_id}")

    def strays(self, destination: Storage, manifests: Iterable[Manifest], release_file: str) -> list[Finding]:
        """Files of the destination that no manifest mentions, and what they hold."""
        known = {output.path for manifest in manifests for output in manifest.outputs} | {release_file}
        paths = [entry.path for entry in destination.list() if entry.path not in known]
        for entry in destination.list(PRIVATE_FOLDER):
            name = entry.path.removeprefix(f"{PRIVATE_FOLDER}/")
            if name not in _RECORD_FILES and not name.startswith(_RECORDS):
                paths.append(entry.path)
        found: list[Finding] = []
        for path in paths:
            found.append(Finding("stray", printable(path), "no manifest mentions this file"))
            for name, data in _contents(destination, path):
                found += self.member(name, data)
        return found


def _contents(destination: Storage, path: str) -> Iterator[tuple[str, bytes]]:
    """The file itself, or the members of a tar."""
    name = printable(path)
    with destination.open_read(path) as stored:
        if tarfile.is_tarfile(stored):
            stored.seek(0)
            with tarfile.open(fileobj=stored) as archive:
                for header in archive:
                    file = archive.extractfile(header)
                    if file is not None:
                        yield f"{name}/{printable(header.name)}", file.read()
            return
        stored.seek(0)
        yield name, stored.read()
