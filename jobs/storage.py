"""Where bytes live: a small interface, and the local disk behind it. A file appears whole, or not at all."""

import contextlib
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from cfanet.errors import ConfigError, InputError

PRIVATE_FOLDER = "_cfanet"
"""Folder of the destination that holds manifests, ledger, quarantine and report; never part of a source listing."""
_SCRATCH = f"{PRIVATE_FOLDER}/tmp"


@dataclass(frozen=True)
class Entry:
    """One stored file."""

    path: str  # relative to the storage's root, "/" between parts
    size: int  # bytes
    etag: str  # changes whenever the content may have changed


class HashingWriter:
    """A file being written; knows the SHA-256 and the size of what it was given."""

    def __init__(self, file: BinaryIO) -> None:
        """Write through to `file`."""
        self._file = file
        self._digest = hashlib.sha256()
        self.size = 0
        self._kept = True

    def discard(self) -> None:
        """Take no more bytes: the file will not be kept. (A tar archive writes its last bytes when it is collected.)"""
        self._kept = False

    def write(self, data: bytes) -> int:
        """Append `data`."""
        if not self._kept:
            return len(data)
        self._digest.update(data)
        self.size += len(data)
        return self._file.write(data)

    @property
    def sha256(self) -> str:
        """Digest of everything written so far, hex."""
        return self._digest.hexdigest()


class Storage(Protocol):
    """Files under one root, addressed by relative path."""

    uri: str

    def list(self) -> Iterator[Entry]:
        """Every file, in sorted order, except the private folder."""
        ...

    def entry(self, path: str) -> Entry | None:
        """Size and ETag of one file; None when there is none."""
        ...

    def open_read(self, path: str) -> BinaryIO:
        """Open one file as a stream of bytes."""
        ...

    def open_write(self, path: str) -> AbstractContextManager[HashingWriter]:
        """Write one file; it appears when the block ends without an error, and not otherwise."""
        ...

    def delete(self, path: str) -> None:
        """Remove one file; a missing one is no error."""
        ...


def read_bytes(storage: Storage, path: str) -> bytes:
    """Return the whole content of one file."""
    with storage.open_read(path) as file:
        return file.read()


def write_bytes(storage: Storage, path: str, data: bytes) -> None:
    """Write one small file atomically."""
    with storage.open_write(path) as file:
        file.write(data)


class LocalStorage:
    """A folder on this machine."""

    def __init__(self, root: Path) -> None:
        """Use `root`; it need not exist until something is written."""
        self.root = root
        self.uri = str(root)

    def list(self) -> Iterator[Entry]:
        """Every file under the root, sorted by path; links to folders are followed once."""
        paths = sorted(self._walk())
        for path in paths:
            found = self.entry(path)
            if found is not None:
                yield found

    def _walk(self) -> Iterator[str]:
        seen: set[tuple[int, int]] = set()
        for folder, subfolders, files in os.walk(self.root, followlinks=True):
            relative = Path(folder).relative_to(self.root)
            keep = []
            for name in sorted(subfolders):
                status = os.stat(os.path.join(folder, name))
                identity = (status.st_dev, status.st_ino)
                if identity not in seen and (relative / name).as_posix() != PRIVATE_FOLDER:
                    seen.add(identity)
                    keep.append(name)
            subfolders[:] = keep
            for name in files:
                yield (relative / name).as_posix()

    def entry(self, path: str) -> Entry | None:
        """Size and ETag (size, modification time and inode) of one file; None when it is not a regular file."""
        try:
            status = os.stat(self.root / path)
        except OSError:
            return None
        if not os.path.isfile(self.root / path):
            return None
        return Entry(path, status.st_size, f"{status.st_size}-{status.st_mtime_ns}-{status.st_ino}")

    def open_read(self, path: str) -> BinaryIO:
        """Open one file for reading."""
        return (self.root / path).open("rb")

    @contextlib.contextmanager
    def open_write(self, path: str) -> Iterator[HashingWriter]:
        """Write beside the outputs, flush to the disk, then rename: a killed process leaves only a scratch file."""
        scratch = self.root / _SCRATCH / uuid.uuid4().hex
        scratch.parent.mkdir(parents=True, exist_ok=True)
        try:
            with scratch.open("xb") as file:
                writer = HashingWriter(file)
                try:
                    yield writer
                except BaseException:
                    writer.discard()
                    raise
                file.flush()
                os.fsync(file.fileno())
            target = self.root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(scratch, target)
            _sync_folder(target.parent)
        finally:
            scratch.unlink(missing_ok=True)

    def delete(self, path: str) -> None:
        """Remove one file if it is there."""
        (self.root / path).unlink(missing_ok=True)

    def clear_scratch(self) -> None:
        """Remove what a killed run left half written."""
        shutil.rmtree(self.root / _SCRATCH, ignore_errors=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_storage(uri: str) -> LocalStorage:
    """The storage behind a path; ConfigError for an address this version cannot reach, InputError for an empty one."""
    if "://" in uri:
        scheme = uri.split("://", 1)[0]
        raise ConfigError(f"{uri}: {scheme}:// addresses are not available in this version; give a local path")
    if not uri:
        raise InputError("an empty path was given: name a folder")
    return LocalStorage(Path(uri))
