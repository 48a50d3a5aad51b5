"""The private gallery, wherever it lies, as the local folder that `audit.gallery` works on.

A gallery in an object store is fetched for the moment of its use, into a folder that only this user can read, and then
removed.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from audit.enrol import Pseudonyms
from jobs.storage import Storage, is_remote, open_storage, read_bytes, write_bytes

_KEY_FILE = "pseudonyms.key"
_SNAPSHOT = "snapshot.json"
_CALIBRATIONS = "calibration"


class GalleryStore:
    """One gallery at a local path or an `s3://` address."""

    def __init__(self, uri: str) -> None:
        """Use the gallery at `uri`."""
        self.uri = uri
        self._remote = open_storage(uri) if is_remote(uri) else None

    @property
    def made(self) -> bool:
        """Whether it is there."""
        return open_storage(self.uri).entry(_KEY_FILE) is not None

    def create(self) -> None:
        """Make it, if it is not there; of several callers one draws the key of the pseudonyms."""
        if self._remote is None:
            Path(self.uri).mkdir(mode=0o700, parents=True, exist_ok=True)
            Pseudonyms.of_gallery(Path(self.uri))
        elif self._remote.entry(_KEY_FILE) is None:
            with _private_folder() as folder, contextlib.suppress(FileExistsError):
                Pseudonyms.of_gallery(folder)
                write_bytes(self._remote, _KEY_FILE, (folder / _KEY_FILE).read_bytes(), exclusive=True)

    def remove(self) -> None:
        """Delete everything in it; one that is not there is no error."""
        if self._remote is None:
            shutil.rmtree(self.uri, ignore_errors=True)
            return
        for path in [entry.path for entry in self._remote.list()]:
            self._remote.delete(path)

    def pseudonyms(self) -> Pseudonyms:
        """Of this gallery's people; the gallery must have been made."""
        if self._remote is None:
            return Pseudonyms.of_gallery(Path(self.uri))
        return Pseudonyms(read_bytes(self._remote, _KEY_FILE))

    @contextlib.contextmanager
    def whole(self) -> Iterator[Path]:
        """All of it, to be read; a snapshot and calibrations that are written meanwhile are kept."""
        if self._remote is None:
            yield Path(self.uri)
            return
        with _private_folder() as folder:
            for entry in self._remote.list():
                _fetch(self._remote, entry.path, folder)
            before = _kept(folder)
            yield folder
            for path, data in _kept(folder).items():
                if before.get(path) != data:
                    write_bytes(self._remote, path, data)

    @contextlib.contextmanager
    def shard(self, shard: str) -> Iterator[Path]:
        """A folder with one enrolled shard, if it is enrolled at all."""
        if self._remote is None:
            yield Path(self.uri)
            return
        with _private_folder() as folder:
            with contextlib.suppress(FileNotFoundError):
                _fetch(self._remote, _shard_file(shard), folder)
            yield folder

    @contextlib.contextmanager
    def draft(self, shard: str) -> Iterator[Path]:
        """A folder to write one shard into; it is in the gallery once the block has ended well."""
        if self._remote is None:
            yield Path(self.uri)
            return
        with _private_folder() as folder:
            yield folder
            with (folder / _shard_file(shard)).open("rb") as draft, self._remote.open_write(_shard_file(shard)) as file:
                shutil.copyfileobj(draft, file)


def _shard_file(shard: str) -> str:
    return f"shards/{shard}.parquet"


def _kept(folder: Path) -> dict[str, bytes]:
    """What users of the whole gallery may write: by path in it."""
    paths = [folder / _SNAPSHOT, *sorted((folder / _CALIBRATIONS).glob("*.json"))]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths if path.is_file()}


def _fetch(storage: Storage, path: str, folder: Path) -> None:
    with storage.open_read(path) as source:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        with (folder / path).open("wb") as file:
            shutil.copyfileobj(source, file)


@contextlib.contextmanager
def _private_folder() -> Iterator[Path]:
    """Removed at the end; readable for this user alone (mkdtemp's mode 0700)."""
    with tempfile.TemporaryDirectory(prefix="cfanet-gallery-") as name:
        yield Path(name)
