"""The quarantine list of a shard: keys and reasons, one JSON object a line, never pixels."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from jobs.storage import PRIVATE_FOLDER, Storage, read_bytes, write_bytes

_FOLDER = f"{PRIVATE_FOLDER}/quarantine"


@dataclass(frozen=True)
class Withheld:
    """One picture, or one sample that was never read, that is not in the output."""

    key: str  # the sample's key
    picture: str  # its id in the ledger; differs from the key where a sample has several pictures, or a key repeats
    member: str  # name of the file, "" where it is not known
    reason: str  # short code
    detail: str  # one sentence


def write_quarantine(destination: Storage, shard: str, withheld: Sequence[Withheld]) -> None:
    """Write the list of one shard atomically; an empty list removes the file of an earlier run."""
    path = quarantine_path(shard)
    if not withheld:
        destination.delete(path)
        return
    lines = [json.dumps(asdict(item), ensure_ascii=False) + "\n" for item in withheld]
    write_bytes(destination, path, "".join(lines).encode())


def read_quarantine(destination: Storage, shard: str) -> list[Withheld]:
    """The list of one shard; empty when nothing was withheld."""
    if destination.entry(quarantine_path(shard)) is None:
        return []
    text = read_bytes(destination, quarantine_path(shard)).decode()
    return [Withheld(**json.loads(line)) for line in text.splitlines()]


def quarantine_path(shard: str) -> str:
    """Where the list of a shard lies in the destination."""
    return f"{_FOLDER}/{shard}.jsonl"
