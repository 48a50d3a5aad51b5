"""The private gallery, wherever it lies, as the local folder that `audit.gallery` works on.

A gallery in an object store is fetched for the moment of its use, into a folder that only this user can read, and then
removed.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from audit.enrol import Pseudonyms
from cfanet.errors import StorageError
from jobs.storage import Storage, is_remote, open_storage, read_bytes, write_bytes

_KEY_FILE = "pseudonyms.key"
_SNAPSHOT = "snapshot.json"
_CALIBRATIONS = "calibration"
_FETCHED = "cfanet-gallery-"  # how folders are called into which a gallery is fetched
_IN_USE = ".in-use"  # locked as long as its folder is
_AT_ONCE = 8  # files that are fetched beside one another
_SETTLED_S = 60  # a folder may be made a moment before it is locked
_OWN_FOLDERS = ("shards", "probes", _CALIBRATIONS)  # in the order in which they are deleted


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

    def files(self) -> list[str]:
        """Everything in it that is the gallery's own, drafts of killed workers included, in the order of deletion.

        Embeddings come first and the key last: as long as there is a key, what is left is still one gallery.
        """
        found = list(_walk(Path(self.uri))) if self._remote is None else [entry.path for entry in self._remote.list()]
        return sorted((path for path in found if _is_own(path)), key=lambda path: (_rank(path), path))

    def delete(self, paths: Iterable[str]) -> None:
        """Delete these files of it, in this order; StorageError when one is still there afterwards."""
        storage, gone = open_storage(self.uri), []
        for path in paths:
            storage.delete(path)
            gone.append(path)
        if self._remote is not None and gone:
            self._remote.clear_scratch()  # parts of uploads that were never completed
        left = [path for path in gone if storage.entry(path) is not None]
        if left:
            raise StorageError(f"{left[0]} in {self.uri} is still there after it was deleted: check who may delete it")
        if self._remote is None:
            _remove_empty_folders(Path(self.uri))

    @property
    def keeps_versions(self) -> bool:
        """True where deleted files can still be had: a bucket with versions."""
        return self._remote is not None and self._remote.keeps_versions()

    def put(self, folder: Path, path: Path) -> None:
        """Write one file of a folder, got from `whole`, back under its path; in a local gallery it is there already."""
        if self._remote is not None:
            with path.open("rb") as source, self._remote.open_write(path.relative_to(folder).as_posix()) as file:
                shutil.copyfileobj(source, file)

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
            _fetch_all(self._remote, folder)
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


def named_galleries(uris: Sequence[str]) -> dict[str, str]:
    """Addresses by the names that evidence gives them: as many of their last parts as tell them apart."""
    parts = {uri: [part for part in uri.split("/") if part] for uri in uris}
    names = {}
    for uri, own in parts.items():
        others = [other for name, other in parts.items() if name != uri]
        length = next((n for n in range(1, len(own) + 1) if own[-n:] not in [o[-n:] for o in others]), len(own))
        names["/".join(own[-length:])] = uri
    return names


def _walk(root: Path) -> Iterator[str]:
    """Files of a local gallery. Its own folders may be links to another disk; no other link is followed."""
    for start in (root, *(root / name for name in _OWN_FOLDERS)):
        for folder, subfolders, files in os.walk(start):
            if start == root:
                subfolders.clear()
            yield from ((Path(folder) / name).relative_to(root).as_posix() for name in files)


def _is_own(path: str) -> bool:
    """Whether a gallery would have written this: nothing else in the folder is ever touched."""
    first, slash, _ = path.partition("/")
    if slash:
        return first in _OWN_FOLDERS
    return first in (_KEY_FILE, _SNAPSHOT) or first.startswith((f".{_KEY_FILE}.", f".{_SNAPSHOT}."))


def _rank(path: str) -> int:
    first = path.partition("/")[0]
    order = (*_OWN_FOLDERS, _SNAPSHOT, _KEY_FILE)
    return order.index(first) if first in order else 0


def _remove_empty_folders(root: Path) -> None:
    """A folder that still holds something stays."""
    for folder, _, _ in sorted(os.walk(root), reverse=True):
        with contextlib.suppress(OSError):
            os.rmdir(folder)


def _shard_file(shard: str) -> str:
    return f"shards/{shard}.parquet"


def _kept(folder: Path) -> dict[str, bytes]:
    """What users of the whole gallery may write: by path in it."""
    paths = [folder / _SNAPSHOT, *sorted((folder / _CALIBRATIONS).glob("*.json"))]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths if path.is_file()}


def _fetch_all(storage: Storage, folder: Path) -> None:
    """Several at once: small files cost the way there and back, not their bytes."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for _ in pool.map(lambda entry: _fetch(storage, entry.path, folder), storage.list()):
            pass


def _fetch(storage: Storage, path: str, folder: Path) -> None:
    with storage.open_read(path) as source:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        with (folder / path).open("wb") as file:
            shutil.copyfileobj(source, file)


@contextlib.contextmanager
def _private_folder() -> Iterator[Path]:
    """Removed at the end, or by the next process; readable for this user alone (mkdtemp's mode 0700)."""
    _remove_abandoned()
    with tempfile.TemporaryDirectory(prefix=_FETCHED) as name, (Path(name) / _IN_USE).open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield Path(name)


def _remove_abandoned() -> None:
    """Remove what killed processes of this user had fetched: the system has let go of their locks."""
    for path in Path(tempfile.gettempdir()).glob(f"{_FETCHED}*/{_IN_USE}"):
        with contextlib.suppress(OSError):  # another user's, in use, or gone meanwhile
            if time.time() - path.stat().st_mtime < _SETTLED_S:
                continue
            with path.open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path.parent)
