"""How a dataset of faces is laid out, and where it says who is in a picture: recognised, or named by the user."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from cfanet.errors import ConfigError, InputError
from jobs.codecs.folder import extension_of, group_files
from jobs.codecs.shard import Sample, WorkItem, is_picture_extension
from jobs.config import ReleaseConfig
from jobs.pictures import subject_label
from jobs.plan import read_source
from jobs.storage import Entry, Storage, open_storage, read_bytes

LAYOUTS = ("auto", "webdataset", "parquet", "celeba", "vggface2", "flat")
PARTITIONS = ("train", "val", "test", "all")
IDENTITY_FILE, PARTITION_FILE = "identity_CelebA.txt", "list_eval_partition.txt"
# The pictures as they were found come first: aligned ones are small, and cut at chin and hair.
_CELEBA_FOLDERS = ("img_celeba", "img_align_celeba", "img_align_celeba_png")
_FILES_PER_SHARD = 1_000
IdentityOf = Callable[[Sample], str]
"""Who is in the pictures of a sample; "" where unknown. Travels to the workers."""


@dataclass(frozen=True)
class Layout:
    """A dataset as it lies in its source."""

    name: str  # one of LAYOUTS, but not "auto"
    partition: str  # one of PARTITIONS
    items: tuple[WorkItem, ...]
    identity_of: IdentityOf
    sentence: str  # what was recognised, for people
    left_out: int = 0  # pictures that are no part of the partition


@dataclass(frozen=True)
class SidecarNames:
    """The field `identity` of the .json member beside a picture."""

    field: str

    def __call__(self, sample: Sample) -> str:
        """The field's value."""
        return subject_label(sample, self.field)


@dataclass(frozen=True)
class FolderNames:
    """The name of the folder that a picture lies in."""

    def __call__(self, sample: Sample) -> str:
        """The last folder of the path."""
        return _parent(sample.key).rpartition("/")[2]


@dataclass(frozen=True)
class NoNames:
    """Nobody is known."""

    def __call__(self, sample: Sample) -> str:
        """Nothing."""
        return ""


@dataclass(frozen=True)
class TableNames:
    """A table of names by file name, without its extension."""

    names: Mapping[str, str]

    def __call__(self, sample: Sample) -> str:
        """The table's entry."""
        return self.names.get(_stem(sample.key), "")


def recognise(config: ReleaseConfig, wanted: str = "auto", partition: str | None = None) -> Layout:
    """List `source.uri` and cut it into work items; without a `partition`, CelebA's training part where it is known.

    InputError when there is nothing to prepare, or it is not in the layout that is wanted.
    """
    for value, known, option in ((wanted, LAYOUTS, "--layout"), (partition or "all", PARTITIONS, "--partition")):
        if value not in known:
            raise ConfigError(f"{option} {value!r} is not known: use {', '.join(known)}")
    storage = open_storage(config.source.uri)
    storage.check_source()
    entries = list(storage.list())
    name = wanted if wanted != "auto" else _guess(entries)
    if partition is not None and name != "celeba":
        raise InputError(f"--partition {partition} speaks of CelebA, and SRC {storage.uri} is {name}: leave it out")
    if name in {"webdataset", "parquet"}:
        return _shards(config, name)
    pictures = _pictures(entries)
    if not pictures:
        raise InputError(f"SRC {storage.uri} holds no pictures: give the folder of the dataset, or another --layout")
    match name:
        case "celeba":
            found = _celeba(storage, entries, pictures, partition)
        case "vggface2":
            found = _people(storage, pictures)
        case _:
            found = Layout("flat", "all", (), NoNames(), f"{len(pictures):,} loose pictures of people without names")
    return found if found.items else replace(found, items=_cut(storage, pictures))


def _guess(entries: Sequence[Entry]) -> str:
    """The layout that the names of the files speak of."""
    paths = [entry.path for entry in entries]
    if any(path.endswith(IDENTITY_FILE) for path in paths) or _celeba_folder(paths):
        return "celeba"
    for end, name in ((".tar", "webdataset"), (".parquet", "parquet")):
        if any(path.lower().endswith(end) for path in paths):
            return name
    folders = Counter(_parent(entry.path) for entry in _pictures(entries))
    return "vggface2" if "" not in folders and len(folders) > 1 and max(folders.values()) > 1 else "flat"


def _shards(config: ReleaseConfig, name: str) -> Layout:
    source = config.source.model_copy(update={"format": name})
    _, items, _ = read_source(config.model_copy(update={"source": source}))
    kind = {"webdataset": "WebDataset shards", "parquet": "Parquet files"}[name]
    named = f"people by the field {source.subject_field!r} of a picture's .json" if name == "webdataset" else "no names"
    names = SidecarNames(source.subject_field)
    return Layout(name, "all", items, names, f"{len(items):,} {kind}, {named}")


def _people(storage: Storage, pictures: Sequence[Entry]) -> Layout:
    folders = {_parent(entry.path) for entry in pictures}
    if "" in folders:
        raise InputError(f"SRC {storage.uri} has pictures outside of people's folders: use --layout flat, or move them")
    sentence = (
        f"a folder for each person, as VGGFace2 has them: {len(folders):,} people, {len(pictures):,} pictures "
        "(--layout flat if the folders are no people)"
    )
    return Layout("vggface2", "all", (), FolderNames(), sentence)


def _celeba(storage: Storage, entries: Sequence[Entry], pictures: Sequence[Entry], partition: str | None) -> Layout:
    paths = [entry.path for entry in entries]
    folder = _celeba_folder(paths)
    chosen = [entry for entry in pictures if not folder or _parent(entry.path).endswith(folder)]
    names = _table(storage, paths, IDENTITY_FILE)
    parts = _table(storage, paths, PARTITION_FILE)
    if parts is None and partition not in {None, "all"}:
        raise InputError(f"--partition {partition} needs {PARTITION_FILE}, which SRC {storage.uri} lacks: leave it out")
    part = partition or ("all" if parts is None else "train")
    kept = chosen
    if parts is not None and part != "all":
        wanted = str(PARTITIONS.index(part))
        kept = [entry for entry in chosen if parts.get(_stem(entry.path)) == wanted]
    if not kept:
        raise InputError(
            f"SRC {storage.uri}: {PARTITION_FILE} names no picture of the partition {part!r} that is there"
        )
    unknown = sum(_stem(entry.path) not in (names or {}) for entry in kept)
    people = f"people by {IDENTITY_FILE}" if names is not None else f"nobody's name, as {IDENTITY_FILE} is missing"
    sentence = f"CelebA: {len(kept):,} pictures of {folder or 'its folder'}, partition {part}, {people}"
    if names is not None and unknown:
        sentence += f" ({unknown:,} pictures are not in it)"
    known = {stem: f"celeba-{number}" for stem, number in (names or {}).items()}
    return Layout("celeba", part, _cut(storage, kept), TableNames(known), sentence, len(chosen) - len(kept))


def _celeba_folder(paths: Sequence[str]) -> str:
    """The folder with the best of CelebA's pictures; "" where none has its name."""
    folders = {_parent(path).rpartition("/")[2] for path in paths}
    return next((folder for folder in _CELEBA_FOLDERS if folder in folders), "")


def _table(storage: Storage, paths: Sequence[str], name: str) -> dict[str, str] | None:
    """A text file of `picture value` lines, by picture without its extension; None when there is no such file."""
    path = next((path for path in paths if path.rpartition("/")[2] == name), None)
    if path is None:
        return None
    table = {}
    for number, line in enumerate(read_bytes(storage, path).decode("utf-8", "replace").splitlines(), start=1):
        words = line.split()
        if len(words) != 2:
            raise InputError(f"{path} in SRC {storage.uri}, line {number}: a picture's name and a number were expected")
        table[_stem(words[0])] = words[1]
    return table


def _cut(storage: Storage, pictures: Sequence[Entry]) -> tuple[WorkItem, ...]:
    """Work items of loose files, named after their source so that shards of several sources can lie side by side."""
    source = re.sub(r"[^\w.-]+", "-", storage.uri.rstrip("/").rpartition("/")[2]).strip("-.") or "faces"
    items = group_files(pictures, _FILES_PER_SHARD)
    return tuple(replace(item, shard=f"{source}-{number:06d}") for number, item in enumerate(items))


def _pictures(entries: Sequence[Entry]) -> list[Entry]:
    return [entry for entry in entries if is_picture_extension(extension_of(entry.path))]


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _stem(path: str) -> str:
    return path.rpartition("/")[2].partition(".")[0]
