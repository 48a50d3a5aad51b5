from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from cfanet.errors import ConfigError, InputError, WeightsError
from jobs.cli import main
from tests.training.fakes import fake_guide
from tests.training.prepared import write_prepared
from training.config import TrainingSettings, load_settings
from training.data import PairSampler, load_faces
from training.guide import Guide
from training.landmark_fit import MarkedFaces, fit_landmarks, load_marked_faces, points_under
from training.landmarks import (
    SIDE,
    LandmarkGuide,
    LandmarkNetwork,
    load_landmark_guide,
    random_view,
    save_landmarks,
    under,
)
from training.loop import Trainer

SWAP = torch.tensor([1, 0])


def dotted(points: Tensor, side: int = SIDE) -> Tensor:
    """Crops with a soft red dot at each first point and a green one at each second: (N, 2, 2) → (N, 3, R, R)."""
    line = (torch.arange(side) + 0.5) / side
    down, across = line[None, None, :, None] - points[..., 1, None, None], line - points[..., 0, None, None]
    dots = torch.exp(-(down**2 + across**2) / (2 * 0.03**2))
    return torch.cat([dots, torch.zeros(len(points), 1, side, side)], dim=1) * 2.0 - 1.0


def brightest(crops: Tensor) -> Tensor:
    """Where red and green are brightest; (N, 2, 2)."""
    side = crops.shape[-1]
    index = crops[:, :2].flatten(2).argmax(-1)
    return (torch.stack([index % side, index // side], dim=-1) + 0.5) / side


def lit_beyond(points: Tensor) -> Tensor:
    """Crops whose red begins right of a point and whose green begins below it; (N, 2) → (N, 3, R, R) in [0, 1]."""
    line = (torch.arange(SIDE) + 0.5) / SIDE
    across, down = (torch.sigmoid((line - points[:, axis, None]) / 0.03) for axis in (0, 1))
    red, green = across[:, None, :].expand(-1, SIDE, -1), down[:, :, None].expand(-1, -1, SIDE)
    return torch.stack([red, green, torch.zeros_like(red)], dim=1)


def test_points_move_as_the_pixels_under_them_do() -> None:
    points = torch.tensor([[[0.4, 0.45], [0.6, 0.55]]]).repeat(16, 1, 1)
    view = random_view(16, torch.Generator().manual_seed(0))
    mirrored = torch.linalg.det(view[:, :, :2]) < 0
    assert 0 < int(mirrored.sum()) < 16
    expected = brightest(under(view, dotted(points)))
    expected[mirrored] = expected[mirrored][:, SWAP]  # left and right keep their names, and so change their dots
    assert torch.allclose(points_under(view, points, SWAP), expected, atol=1.5 / SIDE)


def test_a_network_learns_where_points_are() -> None:
    points = 0.3 + 0.4 * torch.rand(64, 2, generator=torch.Generator().manual_seed(1))
    pictures = (lit_beyond(points) * 255.0).round().byte()
    faces = MarkedFaces(pictures, points[:, None], torch.tensor([0]), torch.eye(1))
    guess = float((points[::8] - points.mean(0)).norm(dim=-1).mean())
    told: list[int] = []
    network, error = fit_landmarks(faces, 100, batch=8, report=lambda step, error: told.append(step))
    assert error < 0.8 * guess
    assert told == [100]
    assert network(torch.zeros(3, 3, SIDE, SIDE)).shape == (3, 1, 2)


def test_the_guide_measures_points_and_differences_and_moves_the_swap_only() -> None:
    class Reads(LandmarkNetwork):
        """Finds dots without having learned to."""

        def forward(self, crops: Tensor) -> Tensor:
            light = (crops[:, :2] + 1.0).flatten(2)
            line = (torch.arange(SIDE) + 0.5) / SIDE
            across, down = line.repeat(SIDE), line.repeat_interleave(SIDE)
            return torch.stack([(light * across).sum(-1), (light * down).sum(-1)], -1) / light.sum(-1, keepdim=True)

    guide = LandmarkGuide(Reads(2), torch.tensor([[1.0, 0.0], [2.0, -2.0]]))
    here = torch.tensor([[[0.4, 0.5], [0.6, 0.5]]])
    x = dotted(here).requires_grad_()
    assert float(guide(x, dotted(here))) == pytest.approx(0.0, abs=1e-6)
    both = dotted(here + 0.1).requires_grad_()  # the distance between them stays
    assert guide(x, both).item() == pytest.approx(0.2, abs=2e-3)
    one = dotted(here + torch.tensor([[[0.1, 0.0], [0.0, 0.0]]])).requires_grad_()
    assert guide(x, one).item() == pytest.approx(0.1 + 2 * 0.1, abs=2e-3)
    assert float(guide(x, dotted(here + 0.1, 2 * SIDE))) == pytest.approx(0.2, abs=4e-3)  # crops of any side
    guide(x, both).sum().backward()
    assert x.grad is None
    assert both.grad is not None and float(both.grad.abs().max()) > 0


def test_a_landmark_network_is_read_as_it_was_written(tmp_path: Path) -> None:
    network, measures = LandmarkNetwork(4), torch.rand(5, 4)
    network.mean.fill_(0.25)
    save_landmarks(tmp_path / "marks", network, measures, 0.01, "made-up points")
    guide = load_landmark_guide(tmp_path / "marks")
    crops = torch.rand(2, 3, SIDE, SIDE)
    assert torch.equal(guide.network(crops), network.eval()(crops))
    assert torch.equal(guide.measures, measures)
    assert not any(parameter.requires_grad for parameter in guide.parameters())


def test_a_file_that_is_no_landmark_network_is_refused(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, str(tmp_path / "other"))
    with pytest.raises(WeightsError, match="no landmark network"):
        load_landmark_guide(tmp_path / "other")
    (tmp_path / "text").write_text("not safetensors")
    for path in (tmp_path / "text", tmp_path / "absent"):
        with pytest.raises(WeightsError, match="cannot be read"):
            load_landmark_guide(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": np.zeros((3, 2, 2), np.float32)}, r"\(3, 2, 2\) for 16 prepared faces"),
        ({"mirror": np.array([1, 1])}, "mirror must name the other one of each of 2 points"),
        ({"measures": np.zeros((1, 3), np.float32)}, r"measures \(1, 3\) for 2 points"),
        ({"points": np.full((16, 2, 2), np.nan, np.float32)}, "points on 0 faces are too few"),
        ({"measures": None}, "points, mirror, measures are needed"),
    ],
)
def test_points_that_do_not_fit_the_faces_are_refused(
    tmp_path: Path, change: dict[str, np.ndarray | None], message: str
) -> None:
    write_prepared(tmp_path / "faces", side=SIDE)
    stored: dict[str, np.ndarray | None] = {
        "points": np.full((16, 2, 2), 0.5, np.float32),
        "mirror": np.array([1, 0]),
        "measures": np.eye(2, dtype=np.float32),
    }
    np.savez(tmp_path / "points.npz", **{k: v for k, v in (stored | change).items() if v is not None})
    with pytest.raises(InputError, match=message):
        load_marked_faces(tmp_path / "faces", tmp_path / "points.npz")


def test_points_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    (tmp_path / "points.npz").write_text("no archive")
    for path in (tmp_path / "points.npz", tmp_path / "absent.npz"):
        with pytest.raises(InputError, match="cannot be read"):
            load_marked_faces(tmp_path, path)


def test_faces_without_points_are_left_out_and_the_command_writes_a_network(tmp_path: Path) -> None:
    write_prepared(tmp_path / "faces", side=SIDE)
    points = np.full((16, 2, 2), 0.5, np.float32)
    points[3] = np.nan
    np.savez(tmp_path / "points.npz", points=points, mirror=np.array([1, 0]), measures=np.eye(2, dtype=np.float32))
    assert len(load_marked_faces(tmp_path / "faces", tmp_path / "points.npz").points) == 15
    command = ["landmarks", str(tmp_path / "faces"), str(tmp_path / "points.npz"), "--steps", "1"]
    assert main([*command, "--out", str(tmp_path / "marks")]) == 0
    assert load_landmark_guide(tmp_path / "marks").measures.shape == (2, 2)


def settings(folder: Path, weight: float) -> dict[str, object]:
    network = {"resolution": 32, "content_size": 8, "width": 8, "max_width": 16, "style_dim": 16}
    return {
        "data": folder,
        "guide": "fake",
        "landmarks": folder / "marks",
        "network": network | {"discriminator_width": 8},
        "losses": {"landmarks": weight},
        "schedule": {"batch": 4, "steps": 1},
    }


def test_the_loss_is_a_term_of_the_step(tmp_path: Path) -> None:
    write_prepared(tmp_path / "faces")
    faces = load_faces(tmp_path / "faces", 32)
    made = {}
    for weight in (0.0, 5.0, 50.0):
        chosen = TrainingSettings.model_validate(settings(tmp_path, weight))
        torch.manual_seed(0)
        guide = LandmarkGuide(LandmarkNetwork(3), torch.eye(3))
        trainer = Trainer(chosen, [Guide(fake_guide(), 32)], landmarks=guide)
        values = trainer.train_step(PairSampler(faces, chosen.schedule).step(0))
        assert ("landmarks" in values) == (weight > 0)
        made[weight] = torch.cat([p.grad.flatten() for p in trainer.generator.parameters() if p.grad is not None])
        if weight:
            assert float(values["landmarks"]) > 0
    assert not torch.equal(made[0.0], made[5.0])
    assert not torch.equal(made[5.0], made[50.0])  # these two see the same random views


def test_a_weight_without_a_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no landmark network"):
        Trainer(TrainingSettings.model_validate(settings(tmp_path, 1.0)), [Guide(fake_guide(), 32)])
    config = tmp_path / "train.toml"
    config.write_text('data = "faces"\nguide = "fake"\n[losses]\nlandmarks = 2.0\n')
    with pytest.raises(ConfigError, match="give landmarks = FILE"):
        load_settings(config)
