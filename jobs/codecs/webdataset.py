"""WebDataset: a tar file whose neighbouring members with the same key are one sample.

Read and written as streams with the standard library, so that memory does not grow with the shard and every name,
order, mode and time survives. Owners, links and extended attributes do not.
"""

import contextlib
import re
import tarfile
import tarfile as tarfile_module
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import IO, BinaryIO, cast

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
from jobs.storage import HashingWriter, Storage

# Key = everything up to the first dot of the last path part; names without one belong to no sample (as WebDataset).
_NAME = re.compile(r"^((?:.*/|)[^./]+)[.]([^/]*)$", re.DOTALL)
TAIL_KEY = "(rest of shard)"
"""Key of the record that stands for whatever could not be read at the end of a damaged shard."""


class _Damaged(Exception):
    """The archive cannot be read any further."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class _StrictHeader(tarfile.TarInfo):
    """A header whose damage is an error; tarfile itself takes a bad header in mid-file for the end of the archive."""

    @classmethod
    def fromtarfile(cls, tarfile: tarfile_module.TarFile) -> "_StrictHeader":  # the argument's name is the base's
        try:
            return super().fromtarfile(tarfile)
        except tarfile_module.EOFHeaderError:  # type: ignore[attr-defined]  # missing in its stubs
            raise  # the end mark
        except tarfile_module.EmptyHeaderError as error:  # type: ignore[attr-defined]
            if tarfile.offset == 0:
                raise _Damaged("unreadable_shard", "the file is empty") from error
            raise _Damaged(
                "truncated_shard", f"the archive ends without its end mark at byte {tarfile.offset}"
            ) from error
        except tarfile_module.HeaderError as error:
            where = f"the header at byte {tarfile.offset} is damaged ({error})"
            raise _Damaged("truncated_shard" if tarfile.offset else "unreadable_shard", where) from error


def split_name(name: str) -> tuple[str, str] | None:
    """(key, extension in lower case) of a member's name; None when it belongs to no sample."""
    match = _NAME.match(name)
    return (match.group(1), match.group(2).lower()) if match else None


class WebDatasetCodec:
    """Tar shards."""

    name = "webdataset"
    sample_needs_picture = True

    def read(self, storage: Storage, item: WorkItem, wanted: Wanted) -> Iterator[Sample | Refusal]:
        """Yield the samples of one tar in stored order, then one Refusal for a tail that cannot be read."""
        with storage.open_read(item.files[0].path, item.files[0].etag) as stream:
            yield from _SampleStream(stream, wanted).samples()

    @contextlib.contextmanager
    def writer(self, storage: Storage, item: WorkItem, source: Storage) -> Iterator["TarShardWriter"]:
        """Write the tar of the same name; it appears only when the block ends well."""
        path = item.files[0].path
        with storage.open_write(path) as file:
            writer = TarShardWriter(path, file)
            yield writer
            writer.close()


class _SampleStream:
    """Groups the members of one archive into samples."""

    def __init__(self, stream: BinaryIO, wanted: Wanted) -> None:
        self._stream = stream
        self._wanted = wanted
        self._seen: set[str] = set()  # keys of finished samples
        self._key: str | None = None  # the sample being collected
        self._members: list[Member] = []
        self._refusal: Refusal | None = None  # why the sample being collected will be withheld

    def samples(self) -> Iterator[Sample | Refusal]:
        """Every sample, each key once."""
        try:
            with tarfile.open(fileobj=self._stream, mode="r|", tarinfo=_StrictHeader) as archive:
                for header in archive:
                    archive.members = []  # type: ignore[attr-defined]  # it would keep every header it has seen
                    yield from self._take(archive, header)
                yield from self._finish()
                _check_nothing_follows(cast(IO[bytes], archive.fileobj))
        except _Damaged as damage:
            yield from self._finish()
            yield Refusal(TAIL_KEY, TAIL_KEY, damage.reason, damage.detail)
        except (tarfile.TarError, OSError, EOFError, ValueError) as error:
            # The sample being collected may lack members: it is withheld with the tail.
            yield from self._abandon(str(error))
            yield Refusal(TAIL_KEY, TAIL_KEY, "truncated_shard", f"the archive cannot be read any further: {error}")

    def _take(self, archive: tarfile.TarFile, header: tarfile.TarInfo) -> Iterator[Sample | Refusal]:
        if header.isdir():
            return
        split = split_name(header.name)
        if split is None:
            yield Sample(printable(header.name), (_member(header, "", None),))
            return
        key, extension = split
        if key != self._key or any(member.name == header.name for member in self._members):
            yield from self._finish()
            self._key = key
        self._refuse(key, header, extension)
        wanted = self._refusal is None and self._wanted(extension)
        data = _read(archive, header) if wanted else None
        self._members.append(_member(header, extension, data))

    def _refuse(self, key: str, header: tarfile.TarInfo, extension: str) -> None:
        """Note why the sample of this member cannot be used, if there is a reason and none was noted before."""
        if self._refusal is not None:
            return
        reason, detail = "", ""
        if unsafe_name(header.name):
            reason, detail = "unsafe_name", unsafe_name(header.name)
        elif key in self._seen:
            reason, detail = "duplicate_key", "the key appeared before in this shard; only its first sample was read"
        elif not header.isreg():
            reason, detail = "not_a_file", "a member is a link or a device"
        elif header.size > MAX_MEMBER_BYTES and self._wanted(extension):
            reason, detail = "too_large", f"a member of {header.size} bytes; the limit is {MAX_MEMBER_BYTES}"
        if reason:
            self._refusal = Refusal(self._unused_id(key), printable(key), reason, detail, printable(header.name))

    def _unused_id(self, key: str) -> str:
        """The key, or for one that appeared before, key@2, key@3, ...: a record never hides another."""
        count, name = 1, key
        while name in self._seen:
            count += 1
            name = f"{key}@{count}"
        return printable(name)

    def _finish(self) -> Iterator[Sample | Refusal]:
        key, members, refusal = self._key, tuple(self._members), self._refusal
        self._key, self._members, self._refusal = None, [], None
        if key is None:
            return
        self._seen.add(key)
        if refusal is not None:
            self._seen.add(refusal.id)
        yield refusal if refusal is not None else Sample(key, members)

    def _abandon(self, why: str) -> Iterator[Refusal]:
        if self._key is not None:
            name = self._unused_id(self._key)
            yield Refusal(name, printable(self._key), "truncated_shard", f"the shard ends inside this sample: {why}")
            self._key = None


def _member(header: tarfile.TarInfo, extension: str, data: bytes | None) -> Member:
    return Member(header.name, extension, header.mode, header.mtime, data)


def _read(archive: tarfile.TarFile, header: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(header)
    data = file.read() if file is not None else b""
    if len(data) != header.size:
        raise tarfile.ReadError(f"{header.name} has {len(data)} of {header.size} bytes")
    return data


def _check_nothing_follows(stream: IO[bytes]) -> None:
    """Raise when bytes follow the end mark: a second archive appended to the first would be lost without a word."""
    while block := stream.read(1 << 16):
        if block.count(0) != len(block):
            raise _Damaged("data_after_end", "bytes follow the archive's end mark, and were not read")


class TarShardWriter:
    """Writes the samples of one tar shard."""

    def __init__(self, path: str, file: HashingWriter) -> None:
        """Write an archive for `path` into `file`."""
        self._path = path
        self._file = file
        self._tar = tarfile.open(  # noqa: SIM115 - closed by close(), which must not run after an error
            fileobj=cast(IO[bytes], file), mode="w|", format=tarfile.PAX_FORMAT, encoding="utf-8"
        )

    def write(self, members: Sequence[Member]) -> None:
        """Append members under their own names, modes and times."""
        for member in members:
            if member.data is None:
                raise ValueError(f"{member.name} was never read: it cannot be written")
            header = tarfile.TarInfo(member.name)
            header.size, header.mode, header.mtime = len(member.data), member.mode, member.mtime
            self._tar.addfile(header, BytesIO(member.data))

    def withhold(self, members: Sequence[Member]) -> None:
        """Do nothing: the archive is written anew, and these members are not in it."""

    def close(self) -> None:
        """Write the end mark."""
        self._tar.close()

    def outputs(self) -> list[OutputFile]:
        """The archive, once closed."""
        return [OutputFile(self._path, self._file.sha256, self._file.size)]
