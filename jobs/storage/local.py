"""The local disk: files appear by a rename, whole, or not at all."""

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from cfanet.errors import InputError, StorageError
from jobs.storage.base import PRIVATE_FOLDER, Entry, HashingWriter, hashing

_SCRATCH = f"{PRIVATE_FOLDER}/tmp"


class LocalStorage:
    """A folder on this machine."""

    def __init__(self, root: Path) -> None:
        """Use `root`; it need not exist until something is written."""
        self.root = root
        self.uri = str(root)

    def list(self, folder: str = "") -> Iterator[Entry]:
        """Every file under the root (or one folder of it), sorted by path; links to folders are followed once."""
        paths = sorted(self._walk(folder))
        for path in paths:
            found = self.entry(path)
            if found is not None:
                yield found

    def _walk(self, start: str) -> Iterator[str]:
        seen: set[tuple[int, int]] = set()
        for folder, subfolders, files in os.walk(self.root / start, followlinks=True):
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
        return Entry(path, status.st_size, _etag(status))

    def open_read(self, path: str, etag: str = "") -> BinaryIO:
        """Open one file for reading; StorageError when it changed since `etag` was taken."""
        file = (self.root / path).open("rb")
        if etag and _etag(os.fstat(file.fileno())) != etag:
            file.close()
            raise StorageError(f"{path} in {self.uri} changed while it was being used: run the same command again")
        return file

    @contextlib.contextmanager
    def open_write(self, path: str, exclusive: bool = False) -> Iterator[HashingWriter]:
        """Write beside the outputs, flush to the disk, then rename: a killed process leaves only a scratch file."""
        scratch = self.root / _SCRATCH / uuid.uuid4().hex
        scratch.parent.mkdir(parents=True, exist_ok=True)
        try:
            with scratch.open("xb") as file:
                with hashing(file) as writer:
                    yield writer
                file.flush()
                os.fsync(file.fileno())
            target = self.root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if exclusive:
                os.link(scratch, target)  # refuses to replace
            else:
                os.replace(scratch, target)
            _sync_folder(target.parent)
        finally:
            scratch.unlink(missing_ok=True)

    def delete(self, path: str) -> None:
        """Remove one file if it is there."""
        (self.root / path).unlink(missing_ok=True)

    def keeps_versions(self) -> bool:
        """Not that this program could know: snapshots of the file system are out of its sight."""
        return False

    def check_source(self) -> None:
        """InputError when the root is not a folder."""
        if not self.root.is_dir():
            raise InputError(f"SRC {self.uri} is not a folder: give the folder that holds the dataset")

    def check_writable(self) -> None:
        """InputError when the root is a file, or nothing can be written there."""
        if self.root.exists() and not self.root.is_dir():
            raise InputError(f"DST {self.uri} is a file: name a folder")
        try:
            (self.root / PRIVATE_FOLDER).mkdir(parents=True, exist_ok=True)
            probe = self.root / PRIVATE_FOLDER / f"probe-{uuid.uuid4().hex}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            why = os.strerror(error.errno or 0)
            raise InputError(f"DST {self.uri} is not writable ({why}): choose another folder") from error

    def clear_scratch(self) -> None:
        """Remove what a killed run left half written."""
        shutil.rmtree(self.root / _SCRATCH, ignore_errors=True)


def _etag(status: os.stat_result) -> str:
    return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ino}"


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
