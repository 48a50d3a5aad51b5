"""What a format has to provide: a work item, its samples in order, and a writer of the same names in the same order."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol

from cfanet.images import IMAGE_EXTENSIONS
from jobs.storage import Entry, Storage

MAX_MEMBER_BYTES = 256 * 1024 * 1024
"""A larger member is refused unread: a worker's memory stays bounded whatever the source claims."""

Wanted = Callable[[str], bool]
"""Extension (lower case, no leading dot) → whether the member's bytes are needed."""


@dataclass(frozen=True)
class WorkItem:
    """What one worker does in one go: a tar shard, or a group of files."""

    shard: str  # its name in manifests, ledger and gallery
    format: str  # name of the codec
    files: tuple[Entry, ...]
    etag: str  # of all files together
    names: tuple[str, ...] = ()  # of loose files in the output; () where they keep theirs

    @property
    def released_names(self) -> tuple[str, ...]:
        """What the files are called in the output."""
        return self.names or tuple(entry.path for entry in self.files)


@dataclass(frozen=True)
class Member:
    """One file of a sample."""

    name: str  # as stored, "/" between parts
    extension: str  # lower case, everything after the key, no leading dot
    mode: int
    mtime: float
    data: bytes | None  # None when the extension was not wanted

    @property
    def is_picture(self) -> bool:
        """True when the name says it is a picture."""
        return is_picture_extension(self.extension)


@dataclass(frozen=True)
class Sample:
    """Files that belong together, in stored order."""

    key: str
    members: tuple[Member, ...]

    @property
    def pictures(self) -> tuple[Member, ...]:
        """The members that are pictures."""
        return tuple(member for member in self.members if member.is_picture)

    @property
    def extensions(self) -> set[str]:
        """Extensions of all members."""
        return {member.extension for member in self.members}

    @property
    def is_stray(self) -> bool:
        """True for a file that belongs to no sample: its name has no extension."""
        return all(not member.extension for member in self.members)

    def picture_id(self, member: Member) -> str:
        """Name of one picture in ledger and gallery: the key where it is the only one, else the member's name."""
        return self.key if len(self.pictures) == 1 else member.name


@dataclass(frozen=True)
class Refusal:
    """Something in the source that is not processed, and so is withheld."""

    id: str  # unique in the shard
    key: str  # as stored; a duplicate has the key of a sample that was read
    reason: str  # short code
    detail: str  # one sentence
    member: str = ""


@dataclass(frozen=True)
class OutputFile:
    """A file that was released."""

    path: str
    sha256: str
    size: int  # bytes


class ShardWriter(Protocol):
    """Takes samples in order."""

    def write(self, members: Sequence[Member]) -> None:
        """Append the members of one sample; each has data."""
        ...

    def withhold(self, members: Sequence[Member]) -> None:
        """Make sure that nothing of these members is in the output, not even from an earlier run."""
        ...

    def outputs(self) -> list[OutputFile]:
        """The files that exist now; complete once the writer's block has ended."""
        ...


class ShardCodec(Protocol):
    """One dataset format."""

    name: str
    sample_needs_picture: bool  # True: a sample without a picture is withheld; False: it is just another file

    def read(self, storage: Storage, item: WorkItem, wanted: Wanted) -> Iterator[Sample | Refusal]:
        """Yield samples in stored order, each key once; what cannot be used comes as a Refusal, never an exception."""
        ...

    def writer(self, storage: Storage, item: WorkItem, source: Storage) -> AbstractContextManager[ShardWriter]:
        """Open the output of one item of `source`; no shard appears under its name before the block ends well."""
        ...


def is_picture_extension(extension: str) -> bool:
    """True when the last part of an extension ("seg.png") names a picture format."""
    return extension.rpartition(".")[2] in IMAGE_EXTENSIONS


def unsafe_name(name: str) -> str:
    """Why a stored name must not be used as a path, or "" when it may."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if name.startswith(("/", "\\")) or (len(name) > 1 and name[1] == ":"):
        return "the name is absolute"
    if ".." in parts:
        return "the name climbs out of its folder with '..'"
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return "the name is not valid UTF-8"
    return ""


def printable(name: str) -> str:
    """A name that any file or database can hold: bytes that are not UTF-8 are spelt out."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
