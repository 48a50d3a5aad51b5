"""The manifest of a shard: written last, so that its presence means the shard is done."""

from collections.abc import Iterator

from pydantic import ValidationError

from cfanet.config import Section
from jobs.storage import PRIVATE_FOLDER, Storage, read_bytes, write_bytes

_FOLDER = f"{PRIVATE_FOLDER}/manifest"
SCHEMA_VERSION = 1


class ManifestOutput(Section):
    """One released file."""

    path: str
    sha256: str
    size: int  # bytes


class Counts(Section):
    """How many of what; pictures = the sum of the four statuses."""

    samples: int = 0  # keys of the source, refused ones included
    released_samples: int = 0
    pictures: int = 0  # refused samples count as one quarantined picture each
    anonymized: int = 0
    no_face: int = 0
    obscured: int = 0
    quarantined: int = 0
    faces: int = 0
    faces_replaced: int = 0
    faces_obscured: int = 0
    faces_withheld: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        """Add field by field."""
        mine, theirs = self.model_dump(), other.model_dump()
        return Counts(**{name: mine[name] + theirs[name] for name in mine})


class Manifest(Section):
    """What became of one shard."""

    schema_version: int = SCHEMA_VERSION
    shard: str
    format: str
    config_digest: str
    source_etag: str
    source_files: int
    source_bytes: int
    outputs: tuple[ManifestOutput, ...]
    counts: Counts
    dropped_members: dict[str, int]  # by extension: not on the allow-list
    kept_members: dict[str, int]
    quarantine_reasons: dict[str, int]
    key_fingerprint: str
    model_digest: str
    gallery_digest: str
    code_version: str
    ledger_sha256: str
    seconds: dict[str, float]  # by step of the work
    peak_memory_bytes: int
    obscure_sha256: str = ""  # of the list of faces that had to be obscured; "" where nobody named one
    withheld: str = ""  # why the whole shard is withheld; "" for one that was processed

    def is_current(self, destination: Storage, source_etag: str, config_digest: str, obscure_sha256: str) -> bool:
        """True when the shard was made from this source, configuration and list, and its files are still there."""
        made_from = (self.source_etag, self.config_digest, self.obscure_sha256)
        if made_from != (source_etag, config_digest, obscure_sha256):
            return False
        found = [destination.entry(output.path) for output in self.outputs]
        return all(
            entry is not None and entry.size == output.size for entry, output in zip(found, self.outputs, strict=True)
        )


def write_manifest(destination: Storage, manifest: Manifest) -> None:
    """Write a manifest atomically; do it after everything else of the shard."""
    data = manifest.model_dump_json(indent=2).encode() + b"\n"
    write_bytes(destination, f"{_FOLDER}/{manifest.shard}.json", data)


def read_manifest(destination: Storage, shard: str) -> Manifest | None:
    """The manifest of a shard; None when there is none, or one that this version cannot read."""
    try:
        return Manifest.model_validate_json(read_bytes(destination, f"{_FOLDER}/{shard}.json"))
    except (OSError, ValidationError):
        return None


def delete_manifest(destination: Storage, shard: str) -> None:
    """Declare a shard not done."""
    destination.delete(f"{_FOLDER}/{shard}.json")


def manifest_names(destination: Storage) -> Iterator[str]:
    """Shards that have a manifest, in sorted order of their files."""
    for entry in destination.list(_FOLDER):
        if entry.path.endswith(".json"):
            yield entry.path.removeprefix(f"{_FOLDER}/").removesuffix(".json")
