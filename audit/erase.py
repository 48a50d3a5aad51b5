"""Erasure from a gallery: pictures leave every shard, with all that was derived from them; the rest stays as it was.

Whole pictures go: their fingerprint, labels and the faces of whoever else they show are data about the picture. The
stamps of the shards stay, so that the same originals are not enrolled again by the next run.
"""

import json
import os
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from audit.gallery import NAMES_KEY, NO_FACE, names_in, shard_paths


@dataclass(frozen=True)
class Who:
    """Whose pictures are erased: any of these."""

    subject: str = ""  # pseudonym (audit.enrol)
    pictures: frozenset[str] = frozenset()  # sample keys
    names: frozenset[str] = frozenset()  # keyed hashes of the person's name (audit.names)


@dataclass(frozen=True)
class Erased:
    """What was erased, or would be."""

    pictures: int
    faces: int
    shards: tuple[Path, ...]  # files that are written again


def find(gallery_dir: Path, who: Who) -> Erased:
    """What `erase` would erase; nothing is changed."""
    return _visit(gallery_dir, who, write=False)


def erase(gallery_dir: Path, who: Who) -> Erased:
    """Write every shard again that holds something of `who`, each whole or not at all. Seal the gallery afterwards.

    Stopped in between, it is finished by the same call.
    """
    return _visit(gallery_dir, who, write=True)


def _visit(gallery_dir: Path, who: Who, write: bool) -> Erased:
    pictures, faces, shards = 0, 0, []
    for path in shard_paths(gallery_dir):
        keys = pq.read_table(path, columns=["sample_key", "face_index", "subject_id"])
        doomed = _doomed(keys, who)
        names = names_in(path)
        if not doomed and not who.names & names:
            continue
        hit = keys.filter(pc.is_in(keys.column("sample_key"), value_set=pa.array(doomed, pa.string())))
        pictures += len(set(hit.column("sample_key").to_pylist()))
        faces += sum(index != NO_FACE for index in hit.column("face_index").to_pylist())
        shards.append(path)
        if write:
            _rewrite(path, doomed, names - who.names)
    return Erased(pictures, faces, tuple(shards))


def _doomed(table: pa.Table, who: Who) -> list[str]:
    """Keys of the pictures that go."""
    rows = zip(table.column("sample_key").to_pylist(), table.column("subject_id").to_pylist(), strict=True)
    return sorted({key for key, subject in rows if key in who.pictures or (who.subject and subject == who.subject)})


def _rewrite(path: Path, doomed: Collection[str], names: Collection[str]) -> None:
    table = pq.read_table(path)
    left = table.filter(pc.invert(pc.is_in(table.column("sample_key"), value_set=pa.array(doomed, pa.string()))))
    metadata = {**(table.schema.metadata or {}), NAMES_KEY: json.dumps(sorted(names)).encode()}
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with draft.open("wb") as file:
            pq.write_table(left.replace_schema_metadata(metadata), file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
