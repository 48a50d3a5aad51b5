"""Image folders: files in any depth of subfolders, grouped into work items in order of their names in the output.

Those are their paths, or pseudonyms of them. Everything after reading knows a file by its name in the output alone, so
that no record holds a path that was replaced, and their order says nothing about it either.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence

from jobs.codecs.shard import (
    MAX_MEMBER_BYTES,
    Member,
    OutputFile,
    Refusal,
    Sample,
    Wanted,
    WorkItem,
    printable,
    unsafe_name,
)
from jobs.storage import Entry, Storage, read_bytes

_MODE = 0o644


def extension_of(path: str) -> str:
    """Extension of a file in lower case, without the dot; "" where there is none."""
    name = path.rpartition("/")[2]
    return name.rpartition(".")[2].lower() if "." in name.lstrip(".") else ""


def pseudonymous(path: str, pseudonym: Callable[[str], str]) -> str:
    """The name of a file without anything of its path but the extension; a picture and its sidecar stay neighbours."""
    extension = path.rpartition(".")[2] if extension_of(path) else ""
    stem = pseudonym(path.removesuffix(f".{extension}") if extension else path)
    return f"{stem[:2]}/{stem[2:]}" + (f".{extension}" if extension else "")


def group_files(
    files: Sequence[Entry], per_shard: int, pseudonym: Callable[[str], str] | None = None
) -> list[WorkItem]:
    """Cut files (in sorted order) into work items of `per_shard`; the same files always give the same items."""
    items = []
    named = [(entry.path, entry) for entry in files]
    if pseudonym is not None:
        named = sorted(((pseudonymous(path, pseudonym), entry) for path, entry in named), key=lambda pair: pair[0])
    for number, start in enumerate(range(0, len(named), per_shard)):
        names, group = zip(*named[start : start + per_shard], strict=True)
        digest = hashlib.sha256(repr([(entry.path, entry.etag) for entry in group]).encode("utf-8", "surrogateescape"))
        kept = names if pseudonym is not None else ()
        items.append(WorkItem(f"files-{number:06d}", FolderCodec.name, group, digest.hexdigest(), kept))
    return items


class FolderCodec:
    """Loose files; each picture is a sample of its own, its key the path."""

    name = "folder"
    sample_needs_picture = False

    def read(self, storage: Storage, item: WorkItem, wanted: Wanted) -> Iterator[Sample | Refusal]:
        """Yield one sample a file, in order."""
        for entry, name in zip(item.files, item.released_names, strict=True):
            yield self._read_file(storage, entry, name, wanted)

    def _read_file(self, storage: Storage, entry: Entry, path: str, wanted: Wanted) -> Sample | Refusal:
        extension = extension_of(path)
        name = printable(path)
        if not wanted(extension):
            return Sample(name, (Member(path, extension, _MODE, 0.0, None),))
        if unsafe_name(path):
            return Refusal(name, name, "unsafe_name", unsafe_name(path), name)
        if entry.size > MAX_MEMBER_BYTES:
            detail = f"a file of {entry.size} bytes; the limit is {MAX_MEMBER_BYTES}"
            return Refusal(name, name, "too_large", detail, name)
        try:
            data = read_bytes(storage, entry.path, entry.etag)
        except OSError as error:
            return Refusal(name, name, "unreadable_file", f"the file cannot be read: {error.strerror}", name)
        return Sample(name, (Member(path, extension, _MODE, 0.0, data),))

    @contextlib.contextmanager
    def writer(self, storage: Storage, item: WorkItem, source: Storage) -> Iterator["FolderShardWriter"]:
        """Write the files of one item, each of them atomically."""
        yield FolderShardWriter(storage)


class FolderShardWriter:
    """Writes loose files."""

    def __init__(self, storage: Storage) -> None:
        """Write into `storage`."""
        self._storage = storage
        self._outputs: list[OutputFile] = []

    def write(self, members: Sequence[Member]) -> None:
        """Write each member under its own path."""
        for member in members:
            if member.data is None:
                raise ValueError(f"{member.name} was never read: it cannot be written")
            with self._storage.open_write(member.name) as file:
                file.write(member.data)
            self._outputs.append(OutputFile(member.name, file.sha256, file.size))

    def withhold(self, members: Sequence[Member]) -> None:
        """Remove what an earlier run, with other settings, may have released under these names."""
        for member in members:
            self._storage.delete(member.name)

    def outputs(self) -> list[OutputFile]:
        """The files written, in order."""
        return self._outputs
