"""Where bytes live: the small interface behind which local disks and object stores look alike."""

import contextlib
import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO, Protocol

PRIVATE_FOLDER = "_cfanet"
"""Folder of the destination that holds manifests, ledger, quarantine and report; never part of a source listing."""


@dataclass(frozen=True)
class Entry:
    """One stored file."""

    path: str  # relative to the storage's root, "/" between parts
    size: int  # bytes
    etag: str  # changes whenever the content may have changed


class Sink(Protocol):
    """What takes the bytes of a file that is being written."""

    def write(self, data: bytes, /) -> int:
        """Append `data`."""
        ...


class HashingWriter:
    """A file being written; knows the SHA-256 and the size of what it was given."""

    def __init__(self, file: Sink) -> None:
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


@contextlib.contextmanager
def hashing(file: Sink) -> Iterator[HashingWriter]:
    """A HashingWriter for the block; an error in the block makes it deaf to whatever is written later."""
    writer = HashingWriter(file)
    try:
        yield writer
    except BaseException:
        writer.discard()
        raise


class Storage(Protocol):
    """Files under one root, addressed by relative path.

    A missing file is FileNotFoundError. A store that cannot be reached, or breaks off, is StorageError: never an
    OSError, which readers of damaged archives take for damage.
    """

    uri: str

    def list(self, folder: str = "") -> Iterator[Entry]:
        """Every file, in sorted order; without `folder` all but the private folder, with it only what lies in it."""
        ...

    def entry(self, path: str) -> Entry | None:
        """Size and ETag of one file; None when there is none."""
        ...

    def open_read(self, path: str, etag: str = "") -> BinaryIO:
        """Open one file as a stream of bytes, with random access; StorageError when it no longer has `etag`."""
        ...

    def open_write(self, path: str, exclusive: bool = False) -> AbstractContextManager[HashingWriter]:
        """Write one file; it appears when the block ends without an error, and not otherwise.

        `exclusive`: FileExistsError when a file of this name is there already, or comes first.
        """
        ...

    def delete(self, path: str) -> None:
        """Remove one file; a missing one is no error."""
        ...

    def keeps_versions(self) -> bool:
        """True where deleted files, or the old content of files that were written again, can still be had."""
        ...

    def check_source(self) -> None:
        """InputError when there is nothing here that could be listed."""
        ...

    def check_writable(self) -> None:
        """InputError when nothing can be written here."""
        ...

    def clear_scratch(self) -> None:
        """Remove what a killed run left half written."""
        ...


def read_bytes(storage: Storage, path: str, etag: str = "") -> bytes:
    """Return the whole content of one file."""
    with storage.open_read(path, etag) as file:
        return file.read()


def write_bytes(storage: Storage, path: str, data: bytes, exclusive: bool = False) -> None:
    """Write one small file atomically."""
    with storage.open_write(path, exclusive) as file:
        file.write(data)


def sha256_of(storage: Storage, path: str) -> str:
    """SHA-256 of one file, hex; read as a stream."""
    with storage.open_read(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # its protocol wants more
