"""The pictures of an experiment: samples of WebDataset shards, named first and read when they are needed."""

import hashlib
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cfanet.errors import InputError
from cfanet.images import Picture, decode
from cfanet.recognizers import file_digest

_EXTENSIONS = {"jpg", "jpeg", "png", "webp"}
_MAX_MEGAPIXELS = 64.0


class Photo:
    """One picture: its bytes' digest at once, its pixels when first asked for (PictureError if there are none)."""

    def __init__(self, data: bytes) -> None:
        """Take the bytes of a picture file."""
        self.data = data
        self.digest = hashlib.sha256(data).hexdigest()

    @cached_property
    def picture(self) -> Picture:
        """Decoded, upright (H, W, 3) uint8 RGB."""
        return decode(self.data, _MAX_MEGAPIXELS)


@dataclass(frozen=True)
class Sample:
    """One picture of a shard and what its `.json` says of it."""

    key: str
    shard: Path
    offset: int  # of the picture's bytes in the shard
    size: int
    labels: Mapping[str, str]

    @property
    def identity(self) -> str:
        """Who it is; "" where unknown."""
        return self.labels.get("identity", "")

    def photo(self) -> Photo:
        """Read the picture."""
        with self.shard.open("rb") as file:
            file.seek(self.offset)
            return Photo(file.read(self.size))


def list_shards(source: Path) -> tuple[Path, ...]:
    """The shards of a folder, one shard, or those that a quoted pattern names; InputError when there are none."""
    if source.is_dir():
        shards = tuple(sorted(source.glob("*.tar")))
    else:
        shards = (source,) if source.is_file() else tuple(sorted(source.parent.glob(source.name)))
    if not shards:
        raise InputError(f"{source} holds no .tar shards: give a folder of shards, one shard, or a quoted pattern")
    return shards


def list_samples(shards: tuple[Path, ...]) -> tuple[Sample, ...]:
    """Every picture of the shards, in order; InputError for a broken shard or a key that appears twice."""
    found: dict[str, Sample] = {}
    for shard in shards:
        try:
            for sample in _read_index(shard):
                if sample.key in found:
                    raise InputError(f"{shard}: sample {sample.key!r} appears a second time: keys must be unique")
                found[sample.key] = sample
        except (tarfile.TarError, OSError, json.JSONDecodeError) as error:
            raise InputError(f"{shard} is not a readable WebDataset shard ({error}): give whole .tar files") from error
    if not found:
        raise InputError(f"{shards[0]} holds no pictures: give WebDataset shards with .jpg members")
    return tuple(found.values())


def shards_digest(shards: tuple[Path, ...]) -> str:
    """SHA-256 over the shards' names and contents, hex."""
    digest = hashlib.sha256()
    for shard in shards:
        digest.update(f"{shard.name}\0{file_digest(shard)}\n".encode())
    return digest.hexdigest()


def _read_index(shard: Path) -> list[Sample]:
    places: dict[str, tuple[int, int]] = {}
    labels: dict[str, dict[str, str]] = {}
    with tarfile.open(shard) as tar:
        for member in tar:
            key, _, extension = member.name.rpartition(".")
            if extension.lower() in _EXTENSIONS:
                places[key] = (member.offset_data, member.size)
            elif extension.lower() == "json":
                file = tar.extractfile(member)
                values = json.loads(file.read()) if file is not None else {}
                labels[key] = {name: str(value) for name, value in values.items()}
    return [Sample(key, shard, *place, labels.get(key, {})) for key, place in places.items()]
