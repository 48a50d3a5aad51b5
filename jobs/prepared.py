"""What a folder of prepared faces holds: a record for every shard, written with it, and their sum for people.

DST/<shard>.tar, <shard>.npz          aligned faces and their index, as `training/prepare.py` makes them
DST/_cfanet/prepare/<shard>.json      what the shard was made from and what was left out (ShardRecord)
DST/prepared.json                     the same, summed up
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from cfanet.config import Section
from jobs.storage import PRIVATE_FOLDER, Storage, read_bytes, write_bytes

SUMMARY_FILE = "prepared.json"
_FOLDER = f"{PRIVATE_FOLDER}/prepare"
_INDEX = ".npz"  # written last and deleted first: the training sees a shard by its index


class ShardRecord(Section):
    """What one prepared shard was made from, and what is in it."""

    shard: str
    source: str  # its address
    etag: str  # of the work item
    layout: str
    partition: str
    facts: dict[str, str]  # everything it depends on besides its pictures
    files: dict[str, int]  # bytes by name; empty where no face was kept
    pictures: int
    notes: dict[str, int]  # faces by what is special about them
    left_out: dict[str, int]  # pictures by reason
    people: dict[str, int]  # faces by name of the person, "" where unknown
    seconds: dict[str, float]  # by step
    peak_memory_bytes: int  # of the worker
    code_version: str

    @property
    def faces(self) -> int:
        """How many faces the shard holds."""
        return sum(self.people.values())


class PreparedFolder:
    """Prepared shards in a storage."""

    def __init__(self, storage: Storage) -> None:
        """Use `storage`; it need not hold anything yet."""
        self._storage = storage

    def records(self) -> dict[str, ShardRecord]:
        """The record of every shard, by its name; one that cannot be read counts as missing."""
        return {record.shard: record for record in self._read()}

    def _read(self) -> Iterator[ShardRecord]:
        for entry in self._storage.list(_FOLDER):
            try:
                yield ShardRecord.model_validate_json(read_bytes(self._storage, entry.path))
            except (OSError, ValidationError):
                continue

    def write(self, record: ShardRecord, files: Mapping[str, bytes]) -> None:
        """Write a shard's files by name, and its record before its index: a shard with an index is whole."""
        self.forget(record.shard)
        for name in sorted(files, key=lambda name: name.endswith(_INDEX)):
            if name.endswith(_INDEX):
                self._write_record(record)
            write_bytes(self._storage, name, files[name])
        if not files:
            self._write_record(record)

    def _write_record(self, record: ShardRecord) -> None:
        write_bytes(self._storage, _record_path(record.shard), record.model_dump_json(indent=1).encode() + b"\n")

    def forget(self, shard: str) -> None:
        """Remove a shard, if it is there."""
        for path in (f"{shard}{_INDEX}", f"{shard}.tar", _record_path(shard)):
            self._storage.delete(path)

    def is_whole(self, record: ShardRecord) -> bool:
        """True when every file of a record is there with the size it had."""
        found = {name: self._storage.entry(name) for name in record.files}
        return all(entry is not None and entry.size == record.files[name] for name, entry in found.items())

    def has_files(self, shard: str) -> bool:
        """True when the files of a shard are there, whatever wrote them."""
        return all(self._storage.entry(f"{shard}{extension}") is not None for extension in (".tar", _INDEX))

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write `prepared.json`."""
        write_bytes(self._storage, SUMMARY_FILE, json.dumps(summary, indent=1).encode() + b"\n")


def summarise(records: Sequence[ShardRecord], unrecorded: Sequence[str], not_in_partition: int) -> dict[str, Any]:
    """What `prepared.json` says: sums over every shard of the folder, those of other sources included."""
    people = sum((Counter(record.people) for record in records), Counter[str]())
    return {
        "shards": len(records),
        "shards_without_record": sorted(unrecorded),
        "sources": sorted({record.source for record in records}),
        "pictures": sum(record.pictures for record in records),
        "not_in_partition": not_in_partition,  # pictures that were not looked at
        "left_out": _sum(record.left_out for record in records),
        "faces": sum(people.values()),
        "notes": _sum(record.notes for record in records),
        "faces_without_name": people[""],
        "people": len(set(people) - {""}),
        "people_seen_twice": sum(count > 1 for name, count in people.items() if name),
        "facts": records[0].facts if records else {},
        "by_shard": {
            record.shard: {"faces": record.faces, **record.model_dump(include={"pictures", "left_out", "notes"})}
            for record in sorted(records, key=lambda record: record.shard)
        },
    }


def summary_lines(summary: Mapping[str, Any]) -> list[str]:
    """The same for people."""
    lines = [
        f"{summary['faces']:,} faces from {summary['pictures']:,} pictures",
        f"{summary['people']:,} people, {summary['people_seen_twice']:,} of them at least twice; "
        f"{summary['faces_without_name']:,} faces without a name",
        f"left out: {counts_text(summary['left_out']) or 'nothing'}",
        f"of the faces: {counts_text(summary['notes']) or 'nothing to note'}",
    ]
    if summary["not_in_partition"]:
        lines.append(f"not in the partition, not looked at: {summary['not_in_partition']:,} pictures")
    return lines


def counts_text(counts: Mapping[str, int]) -> str:
    """Numbers and words for people: 3 blurred, 1 no_face."""
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def _sum(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Added up, most first, without what there is none of."""
    return dict((+sum((Counter(one) for one in counts), Counter[str]())).most_common())


def _record_path(shard: str) -> str:
    return f"{_FOLDER}/{shard}.json"
