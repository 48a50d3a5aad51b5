from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cfanet.config import AnonymizeSettings
from cfanet.errors import InputError
from cfanet.inspect import render_inspection
from tests.cfanet.portraits import eileen_collins, no_face
from tests.cfanet.tiny import write_tiny


@pytest.fixture
def settings(tmp_path: Path) -> AnonymizeSettings:
    write_tiny(tmp_path / "tiny.safetensors")
    return AnonymizeSettings(generator=str(tmp_path / "tiny.safetensors"))


def write(path: Path, image: np.ndarray) -> Path:
    Image.fromarray(image).save(path)
    return path


def test_draws_the_grid_and_measures_every_cell(tmp_path: Path, settings: AnonymizeSettings) -> None:
    picture = write(tmp_path / "in.png", eileen_collins())
    summary = render_inspection(picture, tmp_path / "out.png", settings, angles=(0, 60, 120), identities=2)
    assert len(summary.faces) >= 1
    assert {name: values.shape for name, values in summary.similarity.items()} == {
        "identity-branch": (2, 3),
        "dlib": (2, 3),
    }
    drawn = np.asarray(Image.open(tmp_path / "out.png").convert("RGB"))
    assert min(drawn.shape[:2]) > 300
    assert drawn.std() > 20


def test_says_when_there_is_no_face_or_no_file(tmp_path: Path, settings: AnonymizeSettings) -> None:
    with pytest.raises(InputError, match="no face was found"):
        render_inspection(write(tmp_path / "coffee.png", no_face()[:, :200]), tmp_path / "out.png", settings)
    with pytest.raises(InputError, match="cannot be read"):
        render_inspection(tmp_path / "missing.png", tmp_path / "out.png", settings)
    assert not (tmp_path / "out.png").exists()
