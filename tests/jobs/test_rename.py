"""Folders whose paths are replaced: nothing that is released or recorded holds one, and a second run knows its own."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cfanet.errors import ConfigError
from jobs.config import ReleaseConfig
from jobs.ledger import read_ledger
from jobs.progress import Progress
from jobs.release import release
from jobs.run import dry_run
from jobs.status import status
from jobs.storage import LocalStorage
from tests.jobs.fakes import FakeTools, encoded, folder_digest, write_tar

Make = Callable[..., ReleaseConfig]


@pytest.mark.usefixtures("inline")
def test_no_path_of_the_source_is_left_anywhere(
    source: Path, tmp_path: Path, make_config: Make, quiet: Progress
) -> None:
    for person in ("ann-smith", "bob-jones"):
        (source / person).mkdir()
        for number in range(3):
            (source / person / f"{person}-{number}.png").write_bytes(encoded([number + 1]))
        (source / person / f"{person}-0.txt").write_bytes(b"caption")
    (source / "bob-jones" / "broken-bob-jones.png").write_bytes(b"no picture")
    config = make_config(destination__rename="hmac", run__files_per_shard=4, run__max_withheld=1.0)
    assert len(dry_run(config).todo) == 3 and not (tmp_path / "released").exists()
    release(config, quiet, FakeTools).raise_for_status()
    released = tmp_path / "released"
    pictures = [name for name in folder_digest(released) if name.endswith(".png")]
    assert len(pictures) == 6 and all(len(name) == 2 + 1 + 30 + 4 for name in pictures)
    everything = b"".join(path.read_bytes() + path.name.encode() for path in released.rglob("*") if path.is_file())
    assert b"smith" not in everything and b"jones" not in everything
    found = status(str(released))
    assert (found.planned, found.left, found.counts.anonymized, found.counts.quarantined) == (3, 0, 6, 1)
    storage = LocalStorage(released)
    rows = [entry.picture.sample_key for number in range(3) for entry in read_ledger(storage, f"files-{number:06d}")]
    assert sorted(rows) == rows and set(pictures) < set(rows)
    before = folder_digest(released)
    assert release(config, quiet, FakeTools).run.plan.todo == ()
    assert {n: d for n, d in folder_digest(released).items() if n in pictures} == {n: before[n] for n in pictures}


def test_shards_are_not_renamed(source: Path, make_config: Make) -> None:
    write_tar(source / "0.tar", [("a.png", encoded([1]))])
    with pytest.raises(ConfigError, match="folders of pictures"):
        dry_run(make_config(destination__rename="hmac"))
