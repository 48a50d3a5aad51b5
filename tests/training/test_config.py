from pathlib import Path

import pytest
from pydantic import ValidationError

from cfanet.errors import ConfigError
from training.config import PRESETS, NetworkSettings, load_settings


def test_reads_a_file_and_names_what_is_wrong_with_one(tmp_path: Path) -> None:
    path = tmp_path / "train.toml"
    path.write_text('data = "faces"\nguide = "facenet-vggface2"\n[losses]\nsmooth = 0\n')
    settings = load_settings(path)
    assert (settings.losses.smooth, settings.network.generator(512).identity_dim) == (0.0, 512)
    path.write_text('data = "faces"\nguide = "g"\n[losses]\nsmoth = 0\n')
    with pytest.raises(ConfigError, match=r"losses\.smoth"):
        load_settings(path)
    path.write_text("data = [")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_settings(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings(tmp_path / "missing.toml")


def test_a_preset_fills_in_what_is_not_set_and_nothing_else() -> None:
    assert NetworkSettings.model_validate({}).resolution == 128, "the default"
    for name, values in PRESETS.items():
        network = NetworkSettings.model_validate({"preset": name, "style_dim": 17})
        assert (network.resolution, network.style_dim) == (int(name), 17)
        assert network.width == values["width"]
    assert NetworkSettings.model_validate({"preset": "256", "width": 8}).width == 8
    small, large = (NetworkSettings.model_validate({"preset": name}).generator(128) for name in ("64", "128"))
    assert [small.channels(s) for s in (64, 32, 16)] == [large.channels(s) for s in (64, 32, 16)], "one grows into two"
    with pytest.raises(ValidationError, match="preset"):
        NetworkSettings.model_validate({"preset": "100"})
