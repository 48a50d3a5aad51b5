"""The gallery: embeddings of the originals, kept apart from all evidence. Biometric data: private and deletable.

Layout of a gallery directory (never inside the released dataset)::

    shards/<shard>.parquet   a row a face; pictures without faces keep one row with face_index −1
    snapshot.json            digest over the shard files, counts, recognizers, earlier digests; written by `seal`
    pseudonyms.key           key of the subject pseudonyms (audit.enrol)
"""

import contextlib
import hashlib
import json
import os
import secrets
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from audit.files import write_text
from audit.records import EnrolledFace, EnrolledPicture
from cfanet.errors import InputError
from cfanet.records import Detection, Embeddings
from cfanet.search import References

_PREFIX = "embedding."  # one column a recognizer, so that loading one does not read the others
_STAMP = b"cfanet.stamp"
NAMES_KEY = b"cfanet.names"  # keyed hashes of the names of the people in a shard
_BOX = pa.list_(pa.float64(), 4)
_LANDMARKS = pa.list_(pa.float32(), 10)
NO_FACE = -1
_ROWS = 2_048  # that are Python objects at a time: a long video has many


@dataclass(frozen=True)
class ShardStamp:
    """What an enrolled shard was made from; a different stamp means: enrol again."""

    source_etag: str
    settings_digest: str  # over detector, recognizers and labels


@dataclass(frozen=True)
class Snapshot:
    """A sealed gallery."""

    sha256: str  # over names and bytes of all shard files
    n_references: int
    n_subjects: int  # labelled people
    n_pictures: int
    recognizers: tuple[str, ...]


@dataclass(frozen=True)
class GalleryRow:
    """One reference as evidence knows it: an id, a pseudonym, a digest."""

    reference_id: str
    subject_id: str
    input_sha256: str


@dataclass(frozen=True, eq=False)
class Gallery:
    """References of one recognizer and the people they show, row by row."""

    references: References
    subjects: tuple[str, ...]  # pseudonyms, "" where unknown

    def __post_init__(self) -> None:
        if len(self.subjects) != len(self.references.ids):
            raise ValueError(f"{len(self.subjects)} subjects for {len(self.references.ids)} references")

    def own_positions(self, subject: str, reference_id: str) -> npt.NDArray[np.int64]:
        """Positions of the references with this id or of this person (if known); none for a stranger."""
        by_id, by_subject = self._places
        found = by_id.get(reference_id, []) + (by_subject.get(subject, []) if subject else [])
        return np.array(sorted(set(found)), dtype=np.int64)

    @cached_property
    def norms(self) -> npt.NDArray[np.float64]:
        """Lengths of the references (N,) in float64: 1 but for rounding."""
        rows, lengths = self.references.embeddings, np.empty(len(self.references.ids))
        for start in range(0, len(rows), 8_192):
            lengths[start : start + 8_192] = np.linalg.norm(rows[start : start + 8_192].astype(np.float64), axis=1)
        return lengths.clip(1e-12)

    @cached_property
    def _places(self) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
        by_id: dict[str, list[int]] = defaultdict(list)
        by_subject: dict[str, list[int]] = defaultdict(list)
        for position, (name, subject) in enumerate(zip(self.references.ids, self.subjects, strict=True)):
            by_id[name].append(position)
            if subject:
                by_subject[subject].append(position)
        return by_id, by_subject


class ShardDraft:
    """A shard that is being enrolled: pictures go to the file a few at a time."""

    def __init__(self, file: pq.ParquetWriter, sizes: Mapping[str, int]) -> None:
        self._file, self._sizes = file, sizes
        self._waiting: list[EnrolledPicture] = []
        self.names: set[str] = set()  # keyed hashes of the names of the people in it

    def add(self, pictures: Iterable[EnrolledPicture]) -> None:
        """Add enrolled pictures, in the order of the source."""
        for picture in pictures:
            self._waiting.append(picture)
            if len(self._waiting) == _ROWS:
                self._write()

    def close(self) -> None:
        """Write what is left."""
        self._write()
        self._file.add_key_value_metadata({NAMES_KEY: json.dumps(sorted(self.names)).encode()})

    def _write(self) -> None:
        if not self._waiting:
            return
        self._file.write_table(_table(self._waiting, self._sizes).replace_schema_metadata(self._file.schema.metadata))
        self._waiting = []


@contextlib.contextmanager
def new_shard(gallery_dir: Path, shard: str, stamp: ShardStamp, sizes: Mapping[str, int]) -> Iterator[ShardDraft]:
    """A shard to enrol picture by picture; in the gallery under its name, whole, once the block has ended well.

    `sizes` are those of the embeddings, by recognizer.
    """
    path = _shard_path(gallery_dir, shard)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        schema = _table([], sizes).schema.with_metadata({_STAMP: _stamp_bytes(stamp)})
        with pq.ParquetWriter(unfinished, schema) as file:
            draft = ShardDraft(file, sizes)
            yield draft
            draft.close()
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_shard(
    gallery_dir: Path, shard: str, pictures: Sequence[EnrolledPicture], stamp: ShardStamp, names: Iterable[str] = ()
) -> None:
    """Store the enrolled pictures of one shard under its name, whole or not at all; `names` are keyed hashes."""
    sizes = {name: len(row) for one in pictures for face in one.faces for name, row in face.embeddings.items()}
    with new_shard(gallery_dir, shard, stamp, sizes) as draft:
        draft.add(pictures)
        draft.names.update(names)


def has_shard(gallery_dir: Path, shard: str, stamp: ShardStamp) -> bool:
    """True when this shard is enrolled from this source with these settings."""
    path = _shard_path(gallery_dir, shard)
    if not path.is_file():
        return False
    return (pq.read_schema(path).metadata or {}).get(_STAMP) == _stamp_bytes(stamp)


def read_shard(gallery_dir: Path, shard: str, recognizers: Collection[str] | None = None) -> list[EnrolledPicture]:
    """The enrolled pictures of one shard, in the order of the source; InputError when it is not enrolled.

    With `recognizers`, only theirs of the embeddings: a long video has many.
    """
    path = _shard_path(gallery_dir, shard)
    if not path.is_file():
        raise InputError(f"shard {shard!r} is not in the gallery {gallery_dir}: run `cfanet gallery enrol` first")
    plain, vectors = _read(path, recognizers)
    faces: dict[str, list[EnrolledFace]] = {}
    first: dict[str, dict[str, Any]] = {}
    row = 0  # of the embedding matrices, which skip pictures without faces
    for values in plain:
        key = str(values["sample_key"])
        first.setdefault(key, values)
        of_picture = faces.setdefault(key, [])
        if values["face_index"] == NO_FACE:
            continue
        landmarks = np.array(values["landmarks"], dtype=np.float32).reshape(5, 2)
        x1, y1, x2, y2 = values["box"]
        detection = Detection((x1, y1, x2, y2), values["score"], landmarks)
        embeddings = {name: matrix[row] for name, matrix in vectors.items()}
        patch = values.get("patch") or b""
        of_picture.append(EnrolledFace(key, values["face_index"], values["subject_id"], detection, embeddings, patch))
        row += 1
    return [_picture(first[key], tuple(of_picture)) for key, of_picture in faces.items()]


def _read(path: Path, recognizers: Collection[str] | None) -> tuple[Iterator[dict[str, Any]], dict[str, Embeddings]]:
    """Rows without embeddings, a few at a time, and the embeddings by recognizer."""
    names = pq.read_schema(path).names
    embedded = [name for name in names if name.startswith(_PREFIX)]
    chosen = [name for name in embedded if recognizers is None or name.removeprefix(_PREFIX) in recognizers]
    vectors = {name.removeprefix(_PREFIX): _matrix(pq.read_table(path, columns=[name]).column(0)) for name in chosen}
    plain = [name for name in names if name not in embedded]
    parts = pq.ParquetFile(path).iter_batches(_ROWS, columns=plain)
    return (row for part in parts for row in part.to_pylist()), vectors


def read_names(gallery_dir: Path) -> frozenset[str]:
    """Keyed hashes of the names of all enrolled people (audit.names)."""
    found: set[str] = set()
    for path in shard_paths(gallery_dir):
        found |= names_in(path)
    return frozenset(found)


def names_in(path: Path) -> frozenset[str]:
    """Keyed hashes of the names of the people in one shard's file."""
    return frozenset(json.loads((pq.read_metadata(path).metadata or {}).get(NAMES_KEY, b"[]")))


def snapshot_of(gallery_dir: Path) -> Snapshot:
    """Digest all shards as they are now; InputError when nothing is enrolled."""
    digest, n_references, n_pictures = hashlib.sha256(), 0, 0
    subjects: set[str] = set()
    recognizers: set[str] = set()
    for path in shard_paths(gallery_dir):
        with path.open("rb") as file:
            of_file = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.relative_to(gallery_dir).as_posix()}\0{of_file}\n".encode())
        table = pq.read_table(path, columns=["sample_key", "face_index", "subject_id"])
        indices = table.column("face_index").to_numpy()
        n_references += int((indices != NO_FACE).sum())
        n_pictures += len(set(table.column("sample_key").to_pylist()))
        subjects.update(s for s in table.column("subject_id").to_pylist() if s)
        names = pq.read_schema(path).names
        recognizers.update(name.removeprefix(_PREFIX) for name in names if name.startswith(_PREFIX))
    return Snapshot(digest.hexdigest(), n_references, len(subjects), n_pictures, tuple(sorted(recognizers)))


def seal(gallery_dir: Path) -> Snapshot:
    """Digest all shards and write `snapshot.json`; InputError when nothing is enrolled."""
    snapshot, known = snapshot_of(gallery_dir), read_versions(gallery_dir)
    if not known or known[-1]["sha256"] != snapshot.sha256 or known[-1].get("deleted"):
        latest = {"version": len(known) + 1, "sha256": snapshot.sha256, "n_references": snapshot.n_references}
        known = [*known, latest]
    _write_snapshot(gallery_dir, {**asdict(snapshot), "versions": known})
    return snapshot


def read_versions(gallery_dir: Path) -> list[dict[str, Any]]:
    """Every state that was sealed, the latest last: an audit's evidence names one by its digest."""
    found = _read_snapshot(gallery_dir).get("versions", [])
    return found if isinstance(found, list) else []


def mark_deleted(gallery_dir: Path) -> None:
    """Note in `snapshot.json` that the embeddings of the latest state are deleted."""
    document = _read_snapshot(gallery_dir)
    document["versions"][-1]["deleted"] = True
    _write_snapshot(gallery_dir, document)


def _read_snapshot(gallery_dir: Path) -> dict[str, Any]:
    try:
        document = json.loads((gallery_dir / "snapshot.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _write_snapshot(gallery_dir: Path, document: dict[str, Any]) -> None:
    write_text(gallery_dir / "snapshot.json", json.dumps(document, indent=2, sort_keys=True) + "\n")


def load(gallery_dir: Path, recognizer: str) -> References:
    """All references of one recognizer, ordered by shard name and position; ids are `sample_key#face_index`.

    InputError when a shard was enrolled without this recognizer.
    """
    ids: list[str] = []
    places: list[tuple[Path, int]] = []  # of the shards that hold faces, and where their rows begin
    column, dim = _PREFIX + recognizer, 1
    for path in shard_paths(gallery_dir):
        table = pq.read_table(path, columns=["sample_key", "face_index"])
        keys, indices = table.column("sample_key").to_pylist(), table.column("face_index").to_pylist()
        found = [f"{key}#{index}" for key, index in zip(keys, indices, strict=True) if index != NO_FACE]
        if not found:
            continue
        schema = pq.read_schema(path)
        if column not in schema.names:
            raise InputError(f"{path.name} was enrolled without recognizer {recognizer!r}: enrol the originals again")
        places.append((path, len(ids)))
        dim = schema.field(column).type.list_size
        ids.extend(found)
    rows: Embeddings = np.empty((len(ids), dim), dtype=np.float32)  # filled in place: a gallery is in memory once
    for path, start in places:
        block = _matrix(pq.read_table(path, columns=[column]).column(column))
        rows[start : start + len(block)] = block
    return References(tuple(ids), rows)


def load_subjects(gallery_dir: Path) -> tuple[str, ...]:
    """Subject pseudonyms in the order of `load`, "" where the owner gave no label."""
    return tuple(row.subject_id for row in gallery_rows(gallery_dir))


def open_gallery(gallery_dir: Path, recognizer: str) -> Gallery:
    """References and subjects of one recognizer."""
    return Gallery(load(gallery_dir, recognizer), load_subjects(gallery_dir))


def gallery_rows(gallery_dir: Path) -> list[GalleryRow]:
    """All references in the order of `load`, without embeddings."""
    rows = []
    columns = ["sample_key", "face_index", "subject_id", "input_sha256"]
    for path in shard_paths(gallery_dir):
        for values in pq.read_table(path, columns=columns).to_pylist():
            if values["face_index"] != NO_FACE:
                reference_id = f"{values['sample_key']}#{values['face_index']}"
                rows.append(GalleryRow(reference_id, values["subject_id"], values["input_sha256"]))
    return rows


def _picture(values: dict[str, Any], faces: tuple[EnrolledFace, ...]) -> EnrolledPicture:
    return EnrolledPicture(
        sample_key=str(values["sample_key"]),
        input_sha256=str(values["input_sha256"]),
        faces=faces,
        fingerprint=values.get("fingerprint") or 0,
        width=values.get("width") or 0,
        height=values.get("height") or 0,
        labels=json.loads(values.get("labels") or "{}"),
    )


def _table(pictures: Sequence[EnrolledPicture], sizes: Mapping[str, int]) -> pa.Table:
    """A row a face; `sizes` are those of the embeddings, by recognizer."""
    rows = [(picture, face) for picture in pictures for face in (picture.faces or (None,))]
    columns: dict[str, pa.Array] = {
        "sample_key": pa.array([picture.sample_key for picture, _ in rows], pa.string()),
        "face_index": pa.array([face.face_index if face else NO_FACE for _, face in rows], pa.int32()),
        "subject_id": pa.array([face.subject_id if face else "" for _, face in rows], pa.string()),
        "input_sha256": pa.array([picture.input_sha256 for picture, _ in rows], pa.string()),
        "box": pa.array([list(face.detection.box) if face else None for _, face in rows], _BOX),
        "landmarks": pa.array(
            [face.detection.landmarks.ravel().tolist() if face else None for _, face in rows], _LANDMARKS
        ),
        "patch": pa.array([face.patch if face else None for _, face in rows], pa.binary()),
        "fingerprint": pa.array([picture.fingerprint for picture, _ in rows], pa.uint64()),
        "width": pa.array([picture.width for picture, _ in rows], pa.int32()),
        "height": pa.array([picture.height for picture, _ in rows], pa.int32()),
        "labels": pa.array([json.dumps(dict(picture.labels), sort_keys=True) for picture, _ in rows], pa.string()),
        "score": pa.array([face.detection.score if face else None for _, face in rows], pa.float64()),
    }
    for name, size in sorted(sizes.items()):
        columns[_PREFIX + name] = _column([face.embeddings[name] if face else None for _, face in rows], size)
    return pa.table(columns)


def _column(vectors: Sequence[Embeddings | None], size: int) -> pa.Array:
    """A fixed-size list a row, null for None; never as Python's numbers, which take sixteen times the memory."""
    dense = np.zeros((len(vectors), size), dtype=np.float32)
    for row, vector in zip(dense, vectors, strict=True):
        if vector is not None:
            row[:] = vector
    missing = pa.array([vector is None for vector in vectors], pa.bool_())
    return pa.FixedSizeListArray.from_arrays(pa.array(dense.ravel()), size, mask=missing)


def _matrix(column: pa.ChunkedArray) -> Embeddings:
    """(N, d) float32 of a fixed-size-list column, without its null rows."""
    dense = column.drop_null().combine_chunks()
    flat = dense.flatten().to_numpy(zero_copy_only=False)
    size: int = column.type.list_size
    return np.ascontiguousarray(flat, dtype=np.float32).reshape(-1, size)


def _stamp_bytes(stamp: ShardStamp) -> bytes:
    return json.dumps(asdict(stamp), sort_keys=True).encode()


def _shard_path(gallery_dir: Path, shard: str) -> Path:
    if not shard or ".." in Path(shard).parts or Path(shard).is_absolute():
        raise InputError(f"shard name {shard!r} would leave the gallery directory: use the plain name of the shard")
    return gallery_dir / "shards" / f"{shard}.parquet"


def shard_paths(gallery_dir: Path) -> list[Path]:
    """Files of all enrolled shards, ordered by name; InputError when there is none."""
    root = gallery_dir / "shards"
    paths = sorted((path for path in root.rglob("*.parquet") if not path.name.startswith(".")), key=str)
    if not paths:
        raise InputError(f"the gallery {gallery_dir} holds no shard: run `cfanet gallery enrol` first")
    return paths
