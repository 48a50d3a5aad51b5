"""The demo's dataset: from inside the dependencies, always the same, with groups and empty scenes."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from cfanet.errors import InputError
from jobs.demo import demo_pictures, run_demo, write_dataset
from tests.jobs.fakes import folder_digest, read_tar


def test_the_dataset_has_portraits_groups_and_scenes(tmp_path: Path) -> None:
    write_dataset(demo_pictures(), tmp_path / "in")
    shards = sorted((tmp_path / "in").glob("*.tar"))
    assert len(shards) == 4
    members = [read_tar(shard) for shard in shards]
    keys = [name.removesuffix(".json") for shard in members for name in shard if name.endswith(".json")]
    assert len(keys) == len(set(keys)) == 24
    labels = [json.loads(data).get("identity") for shard in members for n, data in shard.items() if n.endswith(".json")]
    assert {labels.count("person-0"), labels.count("person-1")} == {8} and labels.count(None) == 8
    for shard in members:
        kinds = {name.partition("-")[0] for name in shard}
        assert {"group", "scene"} & kinds and {"collins", "hopper"} & kinds


def test_it_is_the_same_every_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_dataset(demo_pictures(), tmp_path / name)
    assert folder_digest(tmp_path / "one") == folder_digest(tmp_path / "two")


def test_a_folder_of_somebody_else_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "originals").mkdir()
    (tmp_path / "originals/precious.jpg").write_bytes(b"x")
    with pytest.raises(InputError, match="was not made by the demo"):
        run_demo(tmp_path, Console())
    assert (tmp_path / "originals/precious.jpg").exists()
