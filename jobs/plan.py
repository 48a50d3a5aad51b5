"""What is there to do: the source's work items, and which of them a destination already holds."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from audit.enrol import Pseudonyms
from cfanet.errors import ConfigError, InputError
from jobs.codecs.folder import FolderCodec, extension_of, group_files
from jobs.codecs.parquet import ParquetCodec, check_columns
from jobs.codecs.shard import ShardCodec, WorkItem, is_picture_extension, printable, unsafe_name
from jobs.codecs.video import VideoCodec, is_video, video_items
from jobs.codecs.webdataset import WebDatasetCodec
from jobs.config import ReleaseConfig
from jobs.gallery_store import GalleryStore
from jobs.manifest import Manifest, manifest_names, read_manifest
from jobs.obscure_list import NOBODY, ObscureList, read_obscure_lists
from jobs.storage import PRIVATE_FOLDER, Entry, Storage, lies_inside, open_storage

RUN_FILE = f"{PRIVATE_FOLDER}/run.json"
RELEASE_FILE = "RELEASE.json"
_SHARD_ENDS: Mapping[str, str] = {"webdataset": ".tar", "parquet": ".parquet"}


@dataclass(frozen=True)
class Plan:
    """The whole work, in order, and what of it is done."""

    format: str
    items: tuple[WorkItem, ...]
    done: Mapping[str, Manifest]  # by shard: finished with the same configuration from the same source
    ignored: Mapping[str, int]  # files of the source that belong to no work item, by extension
    obscure: Mapping[str, ObscureList] = field(default_factory=dict)  # by shard: faces that an audit or a person named

    @property
    def examined(self) -> tuple[WorkItem, ...]:
        """The items that are not withheld as a whole by an earlier run."""
        return tuple(item for item in self.items if item.shard not in self.done or not self.done[item.shard].withheld)

    @property
    def todo(self) -> tuple[WorkItem, ...]:
        """The items still to be anonymized."""
        return tuple(item for item in self.items if item.shard not in self.done)


def codec_for(name: str, config: ReleaseConfig) -> ShardCodec:
    """The codec of a format."""
    if name == ParquetCodec.name:
        return ParquetCodec(frozenset(config.destination.keep_members), config.source.image_columns)
    if name == VideoCodec.name:
        return VideoCodec(config.anonymize.max_megapixels)
    return WebDatasetCodec() if name == WebDatasetCodec.name else FolderCodec()


def read_source(config: ReleaseConfig, write: bool = True) -> tuple[str, tuple[WorkItem, ...], Mapping[str, int]]:
    """List the source and cut it into work items: format, items, ignored files by extension.

    Where files get new names the gallery, which keeps their key, is made; not without `write`. InputError when the
    source is missing, empty, or holds two formats at once.
    """
    uri = config.source.uri
    storage = open_storage(uri)
    storage.check_source()
    only = config.source.only
    entries = [entry for entry in storage.list() if entry.path == only or (not only and entry.path != RELEASE_FILE)]
    if only and not entries:
        raise InputError(f"SRC {uri}/{only} does not exist: give a video file, or the folder of the dataset")
    found = {name: [e for e in entries if e.path.lower().endswith(end)] for name, end in _SHARD_ENDS.items()}
    found[FolderCodec.name] = [entry for entry in entries if is_picture_extension(extension_of(entry.path))]
    found[VideoCodec.name] = [entry for entry in entries if is_video(entry.path)]
    name = config.source.format if config.source.format != "auto" else _recognise(uri, found)
    if not found[name]:
        raise InputError(f"SRC {uri} holds no {_word(name)}: set source.format, or give another folder")
    if config.anonymize.identity == "per_subject" and name != VideoCodec.name:
        raise ConfigError('anonymize.identity = "per_subject" is for videos: pictures get a new face each (per_face)')
    if name == FolderCodec.name:
        return name, tuple(group_files(entries, config.run.files_per_shard, _pseudonym(config, write))), {}
    if config.destination.rename != "keep":
        raise ConfigError(f"destination.rename = hmac is for folders of pictures, and SRC holds {_word(name)}s")
    shards = {entry.path for entry in found[name]}
    items = video_items(uri, found[name]) if name == VideoCodec.name else _shard_items(uri, name, found[name])
    codec = codec_for(name, config)
    if isinstance(codec, ParquetCodec):
        check_columns(codec, storage, items[0])
    return name, items, dict(Counter(extension_of(entry.path) for entry in entries if entry.path not in shards))


def _pseudonym(config: ReleaseConfig, write: bool) -> Callable[[str], str] | None:
    if config.destination.rename == "keep":
        return None
    _check_places(config)
    gallery = GalleryStore(config.gallery_uri)
    if write:
        gallery.create()
    # Without a gallery nothing has been released yet, so that any key will do to count.
    return (gallery.pseudonyms() if gallery.made else Pseudonyms(bytes(32))).of_file


def _word(name: str) -> str:
    if name in _SHARD_ENDS:
        return f"{_SHARD_ENDS[name]} shard"
    return "video" if name == VideoCodec.name else "picture"


def _recognise(uri: str, found: Mapping[str, Sequence[Entry]]) -> str:
    there = [name for name, entries in found.items() if entries]
    if len(there) > 1:
        raise InputError(
            f"SRC {uri} holds both {_word(there[0])}s and {_word(there[1])}s: set source.format to {there[0]} or "
            f"{there[1]}, or separate them"
        )
    if not there:
        raise InputError(
            f"SRC {uri} holds no .tar or .parquet shard, no picture and no video: give the folder of the dataset"
        )
    return there[0]


def _shard_items(uri: str, name: str, shards: Sequence[Entry]) -> tuple[WorkItem, ...]:
    end = _SHARD_ENDS[name]
    for entry in shards:
        if unsafe_name(entry.path):
            raise InputError(f"SRC {uri} holds {printable(entry.path)!r}: {unsafe_name(entry.path)}; rename it")
    items = tuple(WorkItem(entry.path[: -len(end)], name, (entry,), entry.etag) for entry in shards)
    repeated = [name for name, count in Counter(item.shard for item in items).items() if count > 1]
    if repeated:
        raise InputError(f"SRC {uri} holds {repeated[0]!r} twice, with {end} in different spellings: rename one")
    return items


def make_plan(config: ReleaseConfig, key_fingerprint: str, write: bool = True) -> Plan:
    """List the source, check the destination, and compare the two; without `write`, only by reading.

    InputError when the destination is the source, lies inside it, is not writable, or holds anything that this
    dataset's release would not write.
    """
    name, items, ignored = read_source(config, write)
    _check_places(config)
    destination = open_storage(config.destination.uri)
    _check_contents(destination, items)
    if write:
        destination.check_writable()
    plan = Plan(name, items, {}, ignored, read_obscure_lists(destination))
    return replace(plan, done=_done(destination, plan, config, key_fingerprint))


def _done(destination: Storage, plan: Plan, config: ReleaseConfig, key_fingerprint: str) -> dict[str, Manifest]:
    done, digest = {}, config.digest(key_fingerprint)
    for item in plan.items:
        manifest = read_manifest(destination, item.shard)
        if manifest is None or (manifest.withheld and config.run.retry_withheld):
            continue
        if manifest.is_current(destination, item.etag, digest, plan.obscure.get(item.shard, NOBODY).digest):
            done[item.shard] = manifest
    return done


def finished(config: ReleaseConfig) -> tuple[tuple[WorkItem, ...], dict[str, Manifest], str]:
    """The source's items, the manifest of each in the destination, whatever its configuration, and the format.

    InputError when an item has none: the audit judges whole datasets.
    """
    name, items, _ = read_source(config)
    _check_places(config)
    destination = open_storage(config.destination.uri)
    if destination.entry(RUN_FILE) is None:
        raise InputError(
            f"DST {config.destination.uri} does not exist or holds no run of this tool: run `cfanet anonymize` first"
        )
    manifests, lists = {}, read_obscure_lists(destination)
    for item in items:
        manifest = read_manifest(destination, item.shard)
        if manifest is None or manifest.source_etag != item.etag:
            raise InputError(
                f"shard {item.shard!r} is not in DST {config.destination.uri}, or its source has changed: "
                "run `cfanet anonymize` first"
            )
        if manifest.obscure_sha256 != lists.get(item.shard, NOBODY).digest:
            raise InputError(
                f"faces of shard {item.shard!r} were named to be obscured after it was made: run `cfanet release`, or "
                "`cfanet anonymize`, again first"
            )
        manifests[item.shard] = manifest
    return items, manifests, name


def _check_places(config: ReleaseConfig) -> None:
    source, destination, gallery = config.source.uri, config.destination.uri, config.gallery_uri
    if not destination:
        raise InputError("DST is missing: name the folder, or the s3:// address, for the released dataset")
    whole = not config.source.only  # of a single file, everything beside it may be used
    if (whole and lies_inside(destination, source)) or lies_inside(source, destination):
        raise InputError(f"DST {destination} and SRC {source} lie inside each other: give a separate folder as DST")
    for place, name in ((destination, "DST"), *([(source, "SRC")] if whole else [])):
        if lies_inside(gallery, place):
            raise ConfigError(
                f"run.gallery {gallery} lies inside {name}: it holds biometric data of the originals, keep it elsewhere"
            )
        if config.run.review is not None and lies_inside(config.run.review, place):
            raise ConfigError(
                f"run.review {config.run.review} lies inside {name}: it shows originals, write it elsewhere"
            )


def _check_contents(destination: Storage, items: Sequence[WorkItem]) -> None:
    """What lies in the destination must be exactly what this release would write there: anything else is unaudited."""
    expected = {path for item in items for path in item.released_names} | {RELEASE_FILE}
    ours = destination.entry(RUN_FILE) is not None
    for entry in destination.list():
        if not ours:
            raise InputError(f"DST {destination.uri} is not empty and no release of this tool: choose an empty folder")
        if entry.path not in expected:
            raise InputError(
                f"DST {destination.uri} holds {entry.path!r}, which SRC does not have: choose an empty folder"
            )


def stale_records(destination: Storage, items: Sequence[WorkItem]) -> list[str]:
    """Names of shards recorded in the destination that the source no longer has."""
    return sorted(set(manifest_names(destination)) - {item.shard for item in items})
