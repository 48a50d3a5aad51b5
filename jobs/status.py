"""What a destination holds: done, withheld, left to do. Reads only."""

from dataclasses import dataclass
from typing import Any

from cfanet.errors import InputError
from jobs.manifest import Counts, Manifest, manifest_names, read_manifest
from jobs.obscure_list import NOBODY, read_obscure_lists
from jobs.plan import RELEASE_FILE
from jobs.run import read_run_record
from jobs.storage import open_storage


@dataclass(frozen=True)
class Status:
    """The state of a destination."""

    planned: int  # shards
    manifests: tuple[Manifest, ...]
    sealed: bool  # RELEASE.json is there
    record: dict[str, Any]  # run.json

    @property
    def counts(self) -> Counts:
        """Sums over the shards that are done."""
        return sum((manifest.counts for manifest in self.manifests), Counts())

    @property
    def withheld(self) -> int:
        """Shards that are withheld as a whole."""
        return sum(1 for manifest in self.manifests if manifest.withheld)

    @property
    def done(self) -> int:
        """Shards that were processed."""
        return len(self.manifests) - self.withheld

    @property
    def left(self) -> int:
        """Shards still to do."""
        return max(0, self.planned - len(self.manifests))


def status(destination: str) -> Status:
    """Read the state of a destination; InputError when no job ever wrote there."""
    storage = open_storage(destination)
    record = read_run_record(storage)
    if record is None:
        raise InputError(f"DST {destination} holds no run of this tool: give the DST of `cfanet release`")
    manifests = [read_manifest(storage, name) for name in manifest_names(storage)]
    lists = read_obscure_lists(storage)
    made_so = [m for m in manifests if m is not None and m.config_digest == record["config_digest"]]
    current = [m for m in made_so if m.obscure_sha256 == lists.get(m.shard, NOBODY).digest]
    sealed = storage.entry(RELEASE_FILE) is not None
    return Status(int(record["shards"]["planned"]), tuple(current), sealed, record)


if __name__ == "__main__":
    import sys

    from jobs.cli import main

    raise SystemExit(main(["status", *sys.argv[1:]]))
