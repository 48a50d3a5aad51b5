"""Where bytes live: local folders and S3 behind one interface (`jobs.storage.base.Storage`)."""

from pathlib import Path

from cfanet.errors import ConfigError, InputError
from jobs.storage.base import (
    PRIVATE_FOLDER,
    Entry,
    HashingWriter,
    Storage,
    read_bytes,
    sha256_of,
    write_bytes,
)
from jobs.storage.local import LocalStorage
from jobs.storage.s3 import SCHEME, S3Storage, split_uri

__all__ = [
    "PRIVATE_FOLDER",
    "Entry",
    "HashingWriter",
    "LocalStorage",
    "S3Storage",
    "Storage",
    "is_remote",
    "lies_inside",
    "open_storage",
    "read_bytes",
    "sha256_of",
    "write_bytes",
]


def is_remote(uri: str) -> bool:
    """True for an address that every node reaches, False for a path of this machine."""
    return uri.startswith(SCHEME)


def open_storage(uri: str) -> Storage:
    """The storage behind a path or `s3://bucket/prefix`; ConfigError for another kind, InputError for an empty one."""
    if not uri:
        raise InputError("an empty path was given: name a folder, or s3://bucket/prefix")
    if is_remote(uri):
        return S3Storage(uri)
    if "://" in uri:
        scheme = uri.split("://", 1)[0]
        raise ConfigError(f"{scheme}:// addresses are not supported: give a local path or s3://bucket/prefix")
    return LocalStorage(Path(uri))


def lies_inside(inner: str, outer: str) -> bool:
    """True when `inner` is `outer` or lies in it; what is on a disk never lies in an object store, nor the reverse."""
    if is_remote(inner) != is_remote(outer):
        return False
    if is_remote(inner):
        (bucket, prefix), (other, around) = split_uri(inner), split_uri(outer)
        return bucket == other and prefix.startswith(around)
    return Path(inner).resolve().is_relative_to(Path(outer).resolve())
