from pathlib import Path

import pytest

from cfanet.errors import ConfigError
from training.config import load_settings


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
