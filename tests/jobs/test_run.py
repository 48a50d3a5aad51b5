"""The run's record: one id for one configuration, and no private places."""

from collections.abc import Callable
from pathlib import Path

from jobs.config import ReleaseConfig
from jobs.run import config_record, open_run, read_run_record, recorded_config, versions
from jobs.storage import LocalStorage
from tests.jobs.fakes import FakeTools, encoded, write_tar


def test_a_repeated_run_keeps_its_id_and_another_configuration_gets_its_own(
    source: Path, tmp_path: Path, make_config: Callable[..., ReleaseConfig]
) -> None:
    write_tar(source / "0.tar", [("a.png", encoded([1]))])
    first = open_run(make_config(), FakeTools)
    again = open_run(make_config(run__workers=2), FakeTools)
    other = open_run(make_config(anonymize__angle_deg=1), FakeTools)
    assert first.context.run_id == again.context.run_id != other.context.run_id
    assert first.context.key.secret != again.context.key.secret
    record = read_run_record(LocalStorage(tmp_path / "released"))
    assert record is not None and record["run_id"] == other.context.run_id and record["status"] == "running"


def test_private_places_are_not_recorded(
    source: Path, tmp_path: Path, make_config: Callable[..., ReleaseConfig]
) -> None:
    private = {
        "run__key_file": None,
        "run__database": "postgresql://user:secret@host/db",
        "run__gallery": "/vault/faces",
    }
    config = make_config(**private)
    recorded = str(config_record(config))
    assert "secret" not in recorded and "vault" not in recorded and "(given)" in recorded
    write_tar(source / "0.tar", [("a.png", encoded([1]))])
    open_run(config, FakeTools)
    again = recorded_config(LocalStorage(tmp_path / "released"))
    assert again is not None and set(again["run"]) & {"key_file", "database", "gallery"} == set()
    assert recorded_config(LocalStorage(tmp_path / "nowhere")) is None


def test_versions_name_what_took_part() -> None:
    assert {"python", "cfanet", "torch", "ray", "numpy"} <= set(versions())
