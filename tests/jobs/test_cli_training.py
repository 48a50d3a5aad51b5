"""`cfanet prepare` from the command line, with the real detector, a TorchScript guide and a real Ray."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from jobs.cli import main
from tests.cfanet.portraits import eileen_collins, grace_hopper, no_face
from tests.training.fakes import FakeNetwork
from training.config import ScheduleSettings
from training.data import PairSampler, load_faces


@pytest.fixture(scope="module")
def guide(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("guide") / "guide.pt"
    torch.jit.trace(FakeNetwork(16).eval(), torch.zeros(1, 3, 112, 96)).save(str(path))
    return f"torchscript:{path}"


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """A folder each for two people, with a picture of no face."""
    for person, picture in (("hopper", grace_hopper()[:512]), ("collins", eileen_collins()[:360, 60:420])):
        folder = tmp_path / "people" / person
        folder.mkdir(parents=True)
        for number, shift in enumerate((0, 12)):
            cut = picture[:, shift : len(picture) + shift - 24]
            Image.fromarray(cut).resize((256, 256)).save(folder / f"{number}.jpg", quality=95)
    Image.fromarray(no_face()[:200, :200]).save(tmp_path / "people/hopper/coffee.jpg")
    return tmp_path / "people"


@pytest.mark.ray
def test_a_folder_of_people_becomes_training_data(
    people: Path, guide: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "faces"
    command = ["prepare", str(people), str(out), "--guide", guide, "--workers", "1"]
    assert main(command) == 0
    shown = capsys.readouterr()
    assert "a folder for each person" in shown.err and "1 shards prepared, 0 were there" in shown.out
    assert "4 faces from 5 pictures" in shown.out and "left out: 1 no_face" in shown.out
    assert json.loads((out / "prepared.json").read_text())["people_seen_twice"] == 2
    assert sorted(np.load(out / "people-000000.npz")["identity"]) == ["collins"] * 2 + ["hopper"] * 2
    faces = load_faces(out, 128)
    assert PairSampler(faces, ScheduleSettings(batch=4)).step(0).x.shape == (4, 3, 128, 128)
    assert main(command) == 0, "a second time there is nothing to do, and no cluster is started"
    assert "0 shards prepared, 1 were there" in capsys.readouterr().out
    assert main([*command, "--crop-size", "256"]) == 2
    assert "was prepared with crop_size 128, not 256" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--guide", "nobody"], "unknown recognizer 'nobody'"),
        (["--guide", "torchscript:none.pt"], "recognizer file none.pt does not exist"),
        (["--guide", "GUIDE", "--crop-size", "100"], "crop_size 100 is not valid"),
        (["--guide", "GUIDE", "--layout", "tree"], "--layout 'tree' is not known"),
        (["--guide", "GUIDE", "--partition", "train"], "speaks of CelebA"),
    ],
)
def test_a_mistake_is_exit_two_and_one_sentence(
    people: Path, guide: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], sentence: str
) -> None:
    given = [guide if option == "GUIDE" else option for option in options]
    assert main(["prepare", str(people), str(tmp_path / "faces"), *given]) == 2
    error = capsys.readouterr().err
    assert sentence in error and len(error.strip().splitlines()) == 1
