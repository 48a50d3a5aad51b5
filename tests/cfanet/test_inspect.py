from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cfanet.config import AnonymizeSettings
from cfanet.errors import InputError
from cfanet.inspect import render_inspection
from tests.cfanet.portraits import eileen_collins, grace_hopper, no_face
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


def test_shows_the_largest_face_that_a_release_would_replace(tmp_path: Path, settings: AnonymizeSettings) -> None:
    cut = grace_hopper()[:512, 245:]  # a face of 200 px, half of it outside
    both = np.concatenate([cut, eileen_collins()], axis=1)
    summary = render_inspection(write(tmp_path / "in.png", both), tmp_path / "out.png", settings, (0,), 1, None)
    shown, widest = summary.faces[summary.shown], max(summary.faces, key=lambda face: face.box[2] - face.box[0])
    assert shown.box[0] > cut.shape[1] and summary.refusals[summary.shown] == ""
    assert widest.box[2] < cut.shape[1]
    assert summary.refusals[summary.faces.index(widest)] == "too much of it outside the picture to be judged"


def test_puts_nose_and_mouth_back_as_a_release_does(tmp_path: Path) -> None:
    def similarity(share: float) -> np.ndarray:
        chosen = AnonymizeSettings(keep_landmarks=share)
        return render_inspection(picture, tmp_path / "out.png", chosen, (0, 90), 1, None).similarity["identity-branch"]

    picture = write(tmp_path / "in.png", grace_hopper())
    as_made, put_back = similarity(0.0)[0], similarity(1.0)[0]
    assert put_back[0] == pytest.approx(as_made[0], abs=1e-4)  # nothing has moved where nobody was asked for
    assert abs(put_back[1] - as_made[1]) > 0.02


def test_says_when_there_is_no_face_or_no_file(tmp_path: Path, settings: AnonymizeSettings) -> None:
    with pytest.raises(InputError, match="no face was found"):
        render_inspection(write(tmp_path / "coffee.png", no_face()[:, :200]), tmp_path / "out.png", settings)
    with pytest.raises(InputError, match="cannot be read"):
        render_inspection(tmp_path / "missing.png", tmp_path / "out.png", settings)
    assert not (tmp_path / "out.png").exists()
