from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch

from cfanet.errors import WeightsError
from cfanet.weights import load_generator
from tests.training.fakes import fake_guide
from tests.training.prepared import write_prepared
from training import losses
from training.config import OptimizerSettings, ScheduleSettings, TrainingSettings
from training.data import FaceSet, PairSampler, load_faces
from training.export import export_generator
from training.guide import Guide
from training.loop import Trainer
from training.preview import preview, write_preview

NETWORK = {"resolution": 32, "content_size": 8, "width": 8, "max_width": 16, "style_dim": 16, "discriminator_width": 8}


SCHEDULE = ScheduleSettings(batch=4, same_share=0.5)


class Listening:
    """Hands every step's loss terms to a function and counts the measurements."""

    def __init__(self, take: Callable[[Mapping[str, torch.Tensor]], object] = lambda values: None) -> None:
        self._take = take
        self.measured: list[int] = []

    def losses(self, step: int, values: Mapping[str, torch.Tensor]) -> None:
        self._take(values)

    def measure(self, step: int) -> None:
        self.measured.append(step)


def settings(folder: Path, steps: int, losses: dict[str, float] | None = None) -> TrainingSettings:
    schedule = {
        "batch": 4,
        "steps": steps,
        "own_identity_from": 1,
        "adversarial_from": 2,
        "save_every": 2,
        "decay_steps": 0,
    }
    values = {
        "data": folder,
        "guide": "fake",
        "network": NETWORK,
        "losses": losses or {},
        "optimizer": {"warmup_steps": 0},
        "schedule": schedule,
    }
    return TrainingSettings.model_validate(values)


@pytest.fixture
def faces(tmp_path: Path) -> FaceSet:
    write_prepared(tmp_path / "faces")
    return load_faces(tmp_path / "faces", 32)


def trained(tmp_path: Path, faces: FaceSet, steps: int, run: str, **losses: float) -> Trainer:
    chosen = settings(tmp_path / "faces", steps, losses)
    trainer = Trainer(chosen, [Guide(fake_guide(), 32)])
    trainer.run(PairSampler(faces, SCHEDULE), tmp_path / run, Listening())
    return trainer


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {f"{n}.{k}": v for n, m in trainer.modules().items() for k, v in m.state_dict().items()}


def test_a_run_that_was_stopped_ends_where_an_unbroken_one_does(tmp_path: Path, faces: FaceSet) -> None:
    whole = trained(tmp_path, faces, 5, "whole")
    trained(tmp_path, faces, 3, "broken")
    resumed = trained(tmp_path, faces, 5, "broken")
    assert resumed.step == whole.step == 5
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(resumed)[name]), name


def test_learning_rates_fall_to_nothing_at_the_end(tmp_path: Path, faces: FaceSet) -> None:
    chosen = settings(tmp_path / "faces", 8)
    schedule = chosen.schedule.model_copy(update={"decay_steps": 4})
    trainer = Trainer(chosen.model_copy(update={"schedule": schedule}), [Guide(fake_guide(), 32)])
    rates: list[float] = []
    trainer.run(
        PairSampler(faces, SCHEDULE),
        tmp_path / "run",
        Listening(lambda values: rates.append(trainer.generator_optimizer.param_groups[0]["lr"])),
    )
    full = chosen.optimizer.learning_rate
    assert rates == pytest.approx([full] * 5 + [full * 0.75, full * 0.5, full * 0.25])


def test_every_loss_is_on_and_finite(tmp_path: Path, faces: FaceSet) -> None:
    seen: dict[str, torch.Tensor] = {}
    trainer = Trainer(settings(tmp_path / "faces", 40), [Guide(fake_guide(), 32)])
    trainer.run(PairSampler(faces, SCHEDULE), tmp_path / "run", Listening(seen.update))
    expected = {
        "reconstruction",
        "content_same",
        "colour",
        "identity",
        "smooth",
        "adversarial",
        "local",
        "d",
        "d_local",
    }
    assert expected <= set(seen)
    assert all(torch.isfinite(value) for value in seen.values())


def test_a_share_of_new_faces_is_shown_to_every_guide_without_colour(
    tmp_path: Path, faces: FaceSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[float] = []
    shaken = Guide.shaken

    def listening(guide: Guide, crops: torch.Tensor, rng: torch.Generator, grey_share: float = 0.0) -> object:
        shown.append(grey_share)
        return shaken(guide, crops, rng, grey_share)

    monkeypatch.setattr(Guide, "shaken", listening)
    chosen = settings(tmp_path / "faces", 2)
    schedule = chosen.schedule.model_copy(update={"grey_share": 0.75})
    other = fake_guide(8)
    other.name = "other"
    trainer = Trainer(chosen.model_copy(update={"schedule": schedule}), [Guide(fake_guide(), 32), Guide(other, 32)])
    trainer.run(PairSampler(faces, SCHEDULE), tmp_path / "run", Listening())
    assert shown == [0.75] * 4, "two steps, two recognizers"


def test_the_price_of_fine_structure_is_paid(tmp_path: Path, faces: FaceSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A random generator shows nothing of the old face: brightness stands for it."""
    monkeypatch.setattr(losses, "fine_structure", lambda x, cross, free: 1.0 - free + cross.mean((1, 2, 3)))

    def run(weight: float) -> list[float]:
        seen: list[float] = []
        chosen = settings(tmp_path / "faces", 12, {"fine_structure": weight, "fine_structure_free": 0.5})
        take = Listening(lambda values: seen.append(float(values.get("fine_structure", -1.0))))
        Trainer(chosen, [Guide(fake_guide(), 32)]).run(PairSampler(faces, SCHEDULE), tmp_path / str(weight), take)
        return seen

    off, light, heavy = (run(weight) for weight in (0.0, 0.01, 50.0))
    assert off == [-1.0] * 12 and light[0] == heavy[0]
    assert heavy[-1] < light[-1] - 0.05


def test_a_loss_can_be_switched_off(tmp_path: Path, faces: FaceSet) -> None:
    seen: dict[str, torch.Tensor] = {}
    chosen = settings(tmp_path / "faces", 4, {"identity": 0.0, "adversarial": 0.0, "local": 0.0})
    Trainer(chosen, [Guide(fake_guide(), 32)]).run(
        PairSampler(faces, SCHEDULE), tmp_path / "run", Listening(seen.update)
    )
    assert "reconstruction" in seen
    assert not {"identity", "smooth", "adversarial", "local", "d"} & set(seen)


def test_reconstruction_is_learned(tmp_path: Path, faces: FaceSet) -> None:
    values: list[float] = []
    only = {"adversarial": 0.0, "local": 0.0, "identity": 0.0}
    chosen = settings(tmp_path / "faces", 60, only).model_copy(
        update={"optimizer": OptimizerSettings(learning_rate=0.01, warmup_steps=0)}
    )
    colours = torch.randint(0, 256, (16, 3, 1, 1), generator=torch.Generator().manual_seed(0)).byte()
    few = FaceSet(colours.expand(16, 3, 32, 32).clone(), faces.identity, faces.embedding)
    trainer = Trainer(chosen, [Guide(fake_guide(), 32)])
    trainer.run(
        PairSampler(few, SCHEDULE), tmp_path / "run", Listening(lambda terms: values.append(terms["reconstruction"]))
    )
    assert sum(values[-5:]) < 0.5 * sum(values[:5])


def test_a_run_refuses_to_continue_with_other_settings(tmp_path: Path, faces: FaceSet) -> None:
    trained(tmp_path, faces, 2, "run")
    with pytest.raises(WeightsError, match="losses"):
        trained(tmp_path, faces, 4, "run", identity=0.5)


def test_the_exported_generator_is_the_average_and_knows_its_origin(tmp_path: Path, faces: FaceSet) -> None:
    trainer = trained(tmp_path, faces, 2, "run")
    path = tmp_path / "generator.safetensors"
    export_generator(path, trainer, (faces, faces))
    loaded = load_generator(str(path))
    assert loaded.metadata["steps"] == "2"
    assert loaded.metadata["training_faces"] == "16"
    for name, value in trainer.average.state_dict().items():
        assert torch.allclose(loaded.network.state_dict()[name], value, atol=1e-2), name
    grid = preview(loaded.network, faces, loaded.spread, rows=2)
    assert grid.shape == (3, 2 * 32, 7 * 32)
    write_preview(tmp_path / "preview.png", grid)
    assert (tmp_path / "preview.png").stat().st_size > 1000


def test_learning_rates_rise_from_nothing_at_the_start(tmp_path: Path, faces: FaceSet) -> None:
    chosen = settings(tmp_path / "faces", 5)
    chosen = chosen.model_copy(update={"optimizer": OptimizerSettings(warmup_steps=4)})
    trainer = Trainer(chosen, [Guide(fake_guide(), 32)])
    rates: list[float] = []
    listening = Listening(lambda values: rates.append(trainer.generator_optimizer.param_groups[0]["lr"]))
    trainer.run(PairSampler(faces, SCHEDULE), tmp_path / "run", listening)
    full = chosen.optimizer.learning_rate
    assert rates == pytest.approx([full * 0.25, full * 0.5, full * 0.75, full, full])
    assert listening.measured == [5], "at the end, and every measure_every steps"


def test_a_second_guide_has_its_say(tmp_path: Path, faces: FaceSet) -> None:
    seen: dict[str, torch.Tensor] = {}
    other = fake_guide(8)
    other.name = "other"
    trainer = Trainer(settings(tmp_path / "faces", 2), [Guide(fake_guide(), 32), Guide(other, 32)])
    trainer.run(PairSampler(faces, SCHEDULE), tmp_path / "run", Listening(seen.update))
    assert 0.0 < seen["identity_other"] < 2.0
    alone = trained(tmp_path, faces, 2, "alone")
    assert not torch.equal(
        weights(alone)["generator.encoder.from_rgb.weight"], trainer.generator.encoder.from_rgb.weight
    )


def test_a_run_that_carries_detail_over_changes_every_part_of_it(tmp_path: Path, faces: FaceSet) -> None:
    chosen = settings(tmp_path / "faces", 4, {"keep": 1.0, "local": 0.0})
    network = {**NETWORK, "detail": True, "fine_channels": [2], "discriminator": "patch"}
    values = chosen.model_dump() | {"network": network}
    values["schedule"] |= {"virtual_share": 0.7, "own_identity_from": 0, "own_identity_share": 1.0}
    chosen = TrainingSettings.model_validate(values)
    seen: dict[str, torch.Tensor] = {}
    trainer = Trainer(chosen, [Guide(fake_guide(), 32)])
    before = {name: value.clone() for name, value in weights(trainer).items()}
    trainer.run(PairSampler(faces, chosen.schedule), tmp_path / "run", Listening(seen.update))
    assert {"keep", "identity", "adversarial", "d"} <= set(seen)
    assert "local" not in seen
    moved = [name for name, value in weights(trainer).items() if not torch.equal(value, before[name])]
    assert {"generator.decoder.to_rgb.32.weight", "generator.decoder.fine_entries.0.conv.weight"} <= set(moved)
