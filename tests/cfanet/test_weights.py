from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from cfanet.errors import ConfigError, WeightsError
from cfanet.weights import default_generator_path, fetch, list_weights, load_generator, save_generator, verify
from tests.cfanet.tiny import THRESHOLDS, tiny_generator, write_tiny


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    write_tiny(path)
    return path


def test_a_saved_generator_comes_back_with_all_that_is_known_about_it(saved: Path) -> None:
    loaded, original = load_generator(str(saved)), tiny_generator()
    assert loaded.network.config == original.network.config
    assert loaded.thresholds == THRESHOLDS
    assert loaded.metadata["steps"] == "0"
    for name, value in original.network.state_dict().items():
        assert torch.allclose(loaded.network.state_dict()[name], value, atol=2e-3), name
    assert loaded.digest == verify(saved).digest
    assert len(loaded.digest) == 64
    assert loaded.slopes == {}


def test_slopes_of_an_expression_come_back(tmp_path: Path) -> None:
    slopes = {"eyes": torch.linspace(-1e-3, 1e-3, 16), "smile": torch.ones(16)}
    generator, path = tiny_generator(), tmp_path / "with.safetensors"
    save_generator(path, generator.network, generator.spread, THRESHOLDS, {}, slopes)
    found = load_generator(str(path)).slopes
    assert set(found) == set(slopes)
    assert all(torch.equal(found[name], slopes[name]) for name in slopes)


def test_one_flipped_byte_changes_the_digest(saved: Path) -> None:
    before = verify(saved).digest
    data = bytearray(saved.read_bytes())
    data[-1] ^= 1
    saved.write_bytes(bytes(data))
    assert verify(saved).digest != before


def test_missing_truncated_and_foreign_files_are_refused(saved: Path, tmp_path: Path) -> None:
    short, foreign = tmp_path / "short.safetensors", tmp_path / "foreign.safetensors"
    short.write_bytes(saved.read_bytes()[:-100])
    save_file({"x": torch.zeros(1)}, str(foreign))
    with pytest.raises(WeightsError, match="does not exist"):
        load_generator(str(tmp_path / "missing.safetensors"))
    with pytest.raises(WeightsError, match="not a whole safetensors file"):
        load_generator(str(short))
    with pytest.raises(WeightsError, match="written by `cfanet train`"):
        load_generator(str(foreign))


def test_a_header_of_another_version_is_refused(saved: Path, tmp_path: Path) -> None:
    with safe_open(str(saved), framework="pt") as file:
        header = {**file.metadata(), "config": '{"resolution": 64}'}
    old = tmp_path / "old.safetensors"
    save_file({"x": torch.zeros(1)}, str(old), metadata=header)
    with pytest.raises(WeightsError, match="disagree about"):
        load_generator(str(old))


def test_the_default_generator_is_in_the_package_and_small_enough() -> None:
    path = default_generator_path()
    assert path.stat().st_size < 20_000_000
    generator = load_generator("default")
    assert generator.network.config.resolution >= 64
    assert 1e-3 in generator.thresholds
    assert set(generator.slopes) == {"eyes", "smile"}
    assert int(generator.metadata["steps"]) > 0


def test_the_list_names_every_model_and_what_is_here_has_a_digest() -> None:
    models = {model.name: model for model in list_weights()}
    assert {"default", "dlib", "facenet-vggface2", "facenet-casia"} <= set(models)
    assert all(len(model.digest) == 64 for model in models.values() if model.present)
    assert models["dlib"].present


def test_what_comes_with_the_package_cannot_be_fetched() -> None:
    with pytest.raises(ConfigError, match="facenet-vggface2"):
        fetch("dlib")
