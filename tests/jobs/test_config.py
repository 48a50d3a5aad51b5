"""Configuration: overrides, digests, and errors that say what to do."""

from pathlib import Path

import pytest

from cfanet.errors import ConfigError, InputError
from jobs.config import ReleaseConfig, known_keys, load_config


def test_file_overrides_and_command_line_win_in_this_order(tmp_path: Path) -> None:
    path = tmp_path / "release.toml"
    path.write_text('[source]\nuri = "a"\n[anonymize]\nangle_deg = 40\n[run]\nworkers = 3\n')
    config = load_config(path, ["anonymize.angle_deg=70", "source.uri=b", "run.batch_size=2"], {"source.uri": "c"})
    assert (config.source.uri, config.anonymize.angle_deg, config.run.workers, config.run.batch_size) == ("c", 70, 3, 2)


def test_override_values_are_toml() -> None:
    config = load_config(None, ['destination.keep_members=["JSON", ".txt"]', "anonymize.method=mask"])
    assert config.destination.keep_members == ("json", "txt")
    assert config.anonymize.method == "mask"


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("anonymize.angel_deg=90", ["anonymize.angel_deg", "--set", "anonymize.angle_deg"]),
        ("angle_deg=90", ["angle_deg", "anonymize.angle_deg"]),
        ("anonymize.angle_deg=190", ["anonymize.angle_deg", "190", "180"]),
        ("destination.keep_members=['jpg']", ["keep_members", "jpg", "never copied"]),
        ("destination.keep_members=['mp4']", ["keep_members", "mp4", "never copied"]),
        ("nonsense", ["--set", "section.key=value"]),
    ],
)
def test_errors_name_key_place_and_remedy_in_one_line(override: str, parts: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        load_config(None, [override])
    assert "\n" not in str(error.value)
    for part in parts:
        assert part in str(error.value)


def test_unknown_key_in_a_file_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[run]\nworker = 3\n")
    with pytest.raises(ConfigError, match=r"'run\.worker' in .*mine\.toml: did you mean 'run\.workers'"):
        load_config(path)


def test_unreadable_and_invalid_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load_config(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("a = = 1")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_config(tmp_path / "bad.toml")


def test_digest_depends_on_what_changes_pictures_and_on_nothing_else() -> None:
    base = load_config(None).digest("")
    same = ["run.workers=7", "run.batch_size=1", "source.uri=x", "destination.uri=y", "audit.fmr=0.01"]
    different = ["anonymize.angle_deg=91", "anonymize.loop.max_attempts=2", 'destination.keep_members=["json"]']
    assert all(load_config(None, [override]).digest("") == base for override in same)
    assert all(load_config(None, [override]).digest("") != base for override in different)
    assert load_config(None).digest("fingerprint") != base


def test_digest_follows_the_content_of_model_files(tmp_path: Path) -> None:
    model = tmp_path / "generator.safetensors"
    digests = []
    for content in (b"one", b"two"):
        model.write_bytes(content)
        digests.append(load_config(None, [f"anonymize.generator={str(model)!r}"]).digest(""))
    (tmp_path / "copy.safetensors").write_bytes(b"two")
    copy = load_config(None, [f"anonymize.generator={str(tmp_path / 'copy.safetensors')!r}"]).digest("")
    assert digests[0] != digests[1] == copy


def test_recorded_configuration_is_used_only_without_a_file() -> None:
    recorded = {"anonymize": {"angle_deg": 33.0}}
    assert load_config(None, (), {}, recorded).anonymize.angle_deg == 33.0
    assert load_config(None, ["anonymize.angle_deg=44"], {}, recorded).anonymize.angle_deg == 44.0
    assert recorded == {"anonymize": {"angle_deg": 33.0}}


def test_known_keys_reach_every_section() -> None:
    keys = set(known_keys(ReleaseConfig))
    assert {"anonymize.loop.max_attempts", "audit.gate.max_mated_rate", "run.max_withheld"} <= keys


def test_workers_are_told_no_secrets_and_the_driver_needs_no_gpu() -> None:
    secrets = {"run.database": "postgresql://u:secret@h/e", "run.key_file": "/secret/key", "run.gpus_per_worker": 0.5}
    config = load_config(None, (), secrets)
    assert "secret" not in config.for_workers().model_dump_json() and config.for_workers().device == "cuda"
    assert (config.for_driver().device, config.device) == ("cpu", "cuda")
    assert config.for_workers().digest("k") == config.for_driver().digest("k") == config.digest("k")
