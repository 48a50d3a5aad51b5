import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from cfanet.weights import load_generator
from jobs.cli import main
from tests.cfanet.tiny import write_tiny
from tests.training.prepared import write_prepared
from training.data import load_faces

EYES, SMILE = (np.random.default_rng(seed).normal(size=16) * 0.01 for seed in (1, 2))
PAIRS = {"lids": [(0, 1)], "mouth": [(2, 3)], "eye_distance": [(4, 5)]}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("expression")
    write_prepared(folder / "faces", people=[f"person {number}" for number in range(40)])
    write_tiny(folder / "tiny.safetensors")
    command = ["expression", "make", str(folder / "faces"), str(folder / "new")]
    assert main([*command, "--generator", str(folder / "tiny.safetensors"), "--count", "120", "--each", "2"]) == 0
    return folder


def marks(index: Path) -> npt.NDArray[np.float64]:
    """Points of faces whose lids and mouth depend on the identity alone, and on nothing else by a little noise."""
    identity = np.load(index)["identity"].astype(np.float64)
    noise = np.random.default_rng(3).normal(size=(2, len(identity))) * 1e-4
    points = np.zeros((len(identity), 6, 2))
    points[:, 1, 1] = 0.1 + identity @ EYES + noise[0]
    points[:, 5, 0] = 0.5
    points[:, 3, 0] = (0.6 + identity @ SMILE + noise[1]) * 0.5
    return points


def write_points(file: Path, points: npt.NDArray[np.float64], **others: object) -> Path:
    np.savez(file, **{"points": points, **PAIRS, **others})  # type: ignore[arg-type]
    return file


def cosine(one: torch.Tensor, other: npt.NDArray[np.float64]) -> float:
    return float(np.dot(one.numpy(), other) / np.linalg.norm(one.numpy()) / np.linalg.norm(other))


def test_new_faces_follow_their_old_ones_at_the_angle_that_was_asked_for(made: Path) -> None:
    index = np.load(made / "new" / "new-faces.npz")
    assert index["face"].tolist() == np.repeat(np.arange(120), 3).tolist()
    people = index["person"].reshape(120, 3)
    assert (people == people[:, :1]).all() and len(np.unique(people)) == 40
    identity = index["identity"].reshape(120, 3, 16)
    assert np.allclose(np.linalg.norm(identity, axis=2), 1.0, atol=1e-5)
    similarity = np.einsum("fd,fnd->fn", identity[:, 0], identity[:, 1:])
    assert np.allclose(similarity, np.cos(np.radians(96.0)), atol=1e-5)
    network = load_generator(str(made / "tiny.safetensors")).network
    every = torch.linspace(0, 159, 120).round().long()
    crops = load_faces(made / "faces", 32).pictures[every].float() / 127.5 - 1.0
    assert np.allclose(network.identify(crops).numpy(), identity[:, 0], atol=1e-4)


def test_the_slopes_that_made_the_points_are_found_and_written(made: Path) -> None:
    points = marks(made / "new" / "new-faces.npz")
    points[1] = np.nan  # a new face on which nothing was found
    points[9] = np.nan  # an old one
    file = write_points(made / "points.npz", points)
    out, tiny = made / "out" / "with.safetensors", str(made / "tiny.safetensors")
    assert main(["expression", "fit", str(made / "new"), str(file), "--generator", tiny, "--out", str(out)]) == 0
    before, after = load_generator(tiny), load_generator(str(out))
    assert cosine(after.slopes["eyes"], EYES) > 0.99 and cosine(after.slopes["smile"], SMILE) > 0.99
    about = json.loads(after.metadata["slopes"])
    assert (about["faces"], about["new_faces"], about["generator"]) == (119, 237, before.digest)
    assert all(0.95 < value <= 1.0 for value in about["explained"].values())
    assert before.slopes == {} and after.thresholds == before.thresholds and after.metadata["steps"] == "0"
    assert all(torch.equal(value, after.network.state_dict()[n]) for n, value in before.network.state_dict().items())


def test_what_has_nothing_to_do_with_the_identity_is_not_explained(made: Path) -> None:
    points = marks(made / "new" / "new-faces.npz")
    points[:, 1, 1] = 0.1 + np.random.default_rng(4).normal(size=len(points)) * 0.01
    command = ["expression", "fit", str(made / "new"), str(write_points(made / "noise.npz", points))]
    out = made / "noise.safetensors"
    assert main([*command, "--generator", str(made / "tiny.safetensors"), "--out", str(out)]) == 0
    explained = json.loads(load_generator(str(out)).metadata["slopes"])["explained"]
    assert explained["eyes"] < 0.1 < explained["smile"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"points": np.zeros((7, 6, 2))}, "for 360 crops"),
        ({"points": np.full((360, 6, 2), np.nan)}, "points on 0 faces"),
        ({"mouth": [(2, 6)]}, "mouth must be (L, 2) pairs of the 6 points"),
        ({"lids": [0, 1]}, "lids must be"),
    ],
)
def test_points_that_do_not_fit_are_refused(
    made: Path, change: dict[str, object], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    points = marks(made / "new" / "new-faces.npz")
    file = write_points(made / "bad.npz", **{"points": points, **change})  # type: ignore[arg-type]
    command = ["expression", "fit", str(made / "new"), str(file), "--out", str(made / "never.safetensors")]
    assert main([*command, "--generator", str(made / "tiny.safetensors")]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (made / "never.safetensors").exists()


def test_other_folders_and_other_generators_are_refused(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_points(made / "good.npz", marks(made / "new" / "new-faces.npz"))
    out = ["--out", str(made / "never.safetensors")]
    assert main(["expression", "fit", str(made / "new"), str(file), *out]) == 2
    assert "made with another generator" in " ".join(capsys.readouterr().err.split())
    assert main(["expression", "fit", str(made / "faces"), str(file), *out]) == 2
    assert "cfanet expression make" in " ".join(capsys.readouterr().err.split())
    assert main(["expression", "make", str(made / "faces"), str(made / "faces")]) == 2
    assert "give a folder of its own" in " ".join(capsys.readouterr().err.split())
    np.savez(made / "few.npz", points=np.zeros((360, 6, 2)))
    assert main(["expression", "fit", str(made / "new"), str(made / "few.npz"), *out]) == 2
    assert "lids" in " ".join(capsys.readouterr().err.split())
