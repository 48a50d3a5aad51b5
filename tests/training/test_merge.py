import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cfanet.errors import WeightsError
from cfanet.networks.generator import Generator
from cfanet.weights import TrainedGenerator, load_generator, save_generator
from jobs.cli import main
from tests.cfanet.tiny import CONFIG, spread
from tests.training.fakes import FakeNetwork
from tests.training.prepared import write_prepared
from training.merge import merged


def written(path: Path, seed: int, **notes: str) -> TrainedGenerator:
    torch.manual_seed(seed)
    save_generator(path, Generator(CONFIG), spread(), {1e-2: 0.4}, notes)
    return load_generator(str(path))


def weights(generator: Generator) -> torch.Tensor:
    return torch.cat([value.flatten() for value in generator.state_dict().values()])


def test_the_mean_lies_where_the_share_says(tmp_path: Path) -> None:
    first, second = written(tmp_path / "a", 0), written(tmp_path / "b", 1)
    before = weights(first.network).clone()
    assert torch.equal(weights(merged(first, second, 0.0)), weights(first.network))
    assert torch.equal(weights(merged(first, second, 1.0)), weights(second.network))
    quarter = 0.75 * weights(first.network) + 0.25 * weights(second.network)
    assert torch.allclose(weights(merged(first, second, 0.25)), quarter, atol=1e-6)
    assert torch.equal(weights(first.network), before)


def test_another_network_is_refused(tmp_path: Path) -> None:
    first = written(tmp_path / "a", 0)
    other = replace(first, network=Generator(replace(CONFIG, style_dim=24)))
    with pytest.raises(WeightsError, match=r"two kinds \(style_dim \d+ and 24\)"):
        merged(first, other, 0.5)


def test_the_command_writes_a_generator_with_thresholds_of_its_own(tmp_path: Path) -> None:
    write_prepared(tmp_path / "faces", people=[f"person {number}" for number in range(200)])
    torch.jit.trace(FakeNetwork(16).eval(), torch.zeros(1, 3, 112, 96)).save(str(tmp_path / "guide.pt"))
    first = written(tmp_path / "a", 0, steps="5", training_faces="7")
    second = written(tmp_path / "b", 1, steps="9", training_faces="8")
    command = ["merge", str(tmp_path / "a"), str(tmp_path / "b"), "--faces", str(tmp_path / "faces")]
    command += ["--guide", f"torchscript:{tmp_path / 'guide.pt'}", "--out", str(tmp_path / "new" / "ab")]
    assert main([*command, "--share", "0.25"]) == 0
    made = load_generator(str(tmp_path / "new" / "ab"))
    assert torch.allclose(weights(made.network), weights(merged(first, second, 0.25)), atol=1e-2)
    assert json.loads(made.metadata["merged"]) == {first.digest: 0.75, second.digest: 0.25}
    assert (made.metadata["steps"], made.metadata["training_faces"]) == ("9", "8")
    assert made.thresholds and made.thresholds != first.thresholds
    assert main([*command, "--share", "1.5"]) == 2
    assert main([*command[:1], str(tmp_path / "absent"), *command[2:]]) == 2


def test_the_command_names_files_of_two_kinds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path / "a", 0)
    save_generator(tmp_path / "b", Generator(replace(CONFIG, style_dim=24)), spread(), {1e-2: 0.4}, {})
    command = ["merge", str(tmp_path / "a"), str(tmp_path / "b"), "--faces", str(tmp_path), "--guide", "dlib"]
    assert main([*command, "--out", str(tmp_path / "ab")]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert str(tmp_path / "a") in said and str(tmp_path / "b") in said and "style_dim" in said
    assert not (tmp_path / "ab").exists()
