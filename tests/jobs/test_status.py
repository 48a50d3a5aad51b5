"""Status: done, withheld, left."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cfanet.errors import InputError
from jobs.config import ReleaseConfig
from jobs.manifest import delete_manifest
from jobs.progress import Progress
from jobs.release import release
from jobs.run import open_run
from jobs.status import status
from jobs.storage import LocalStorage
from tests.jobs.fakes import FakeTools, encoded, write_tar


@pytest.mark.usefixtures("inline")
def test_what_is_done_and_left(
    source: Path, tmp_path: Path, make_config: Callable[..., ReleaseConfig], quiet: Progress
) -> None:
    for shard in range(3):
        write_tar(source / f"{shard}.tar", [(f"{shard}.png", encoded([1])), (f"{shard}x.png", b"")])
    release(make_config(), quiet, FakeTools)
    place = str(tmp_path / "released")
    found = status(place)
    assert (found.planned, len(found.manifests), found.left, found.sealed) == (3, 3, 0, True)
    assert (found.counts.anonymized, found.counts.quarantined) == (3, 3)
    delete_manifest(LocalStorage(tmp_path / "released"), "1")
    assert status(place).left == 1
    open_run(make_config(anonymize__angle_deg=5), FakeTools)  # nothing is done with the new configuration
    assert status(place).left == 3


def test_a_folder_without_a_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no run"):
        status(str(tmp_path))
