from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from cfanet.errors import ConfigError
from cfanet.networks.generator import Generator
from cfanet.weights import IdentitySpread, save_generator
from tests.cfanet.tiny import CONFIG
from training.grow import started_generator

SMALL = replace(CONFIG, width=16, max_width=32)
LARGE = replace(SMALL, resolution=64, width=8)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    path = tmp_path / "small.safetensors"
    save_generator(path, Generator(SMALL), IdentitySpread(torch.zeros(16), torch.eye(16)), {}, {})
    return path


def test_a_run_can_start_from_a_generator_of_its_own_size(small: Path) -> None:
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    one, two = started_generator(SMALL, small), started_generator(SMALL, small)
    assert torch.equal(one.decode(*one.encode(x)), two.decode(*two.encode(x)))
    assert not torch.equal(one.encoder.from_rgb.weight, Generator(SMALL).encoder.from_rgb.weight)


def test_a_grown_decoder_begins_with_the_smaller_picture_enlarged(small: Path) -> None:
    source, grown = started_generator(SMALL, small), started_generator(LARGE, small)
    content, identity = torch.randn(2, 4, 8, 8), F.normalize(torch.randn(2, 16), dim=-1)
    enlarged = F.interpolate(source.decode(content, identity), scale_factor=2, mode="bilinear", align_corners=False)
    assert torch.allclose(grown.decode(content, identity), enlarged, atol=1e-5)


def test_a_grown_encoder_begins_with_what_the_smaller_one_sees_in_a_smaller_copy(small: Path) -> None:
    x = torch.rand(2, 3, 64, 64) * 2 - 1
    source, grown = started_generator(SMALL, small), started_generator(LARGE, small)
    expected = source.encoder.features(F.avg_pool2d(x, 2))
    assert float(expected.std()) > 0.01
    assert torch.allclose(grown.encoder.features(x), expected, atol=1e-5)


def test_a_new_fine_content_code_begins_without_a_say(small: Path) -> None:
    wider = replace(SMALL, fine_channels=(2,))
    source, widened = started_generator(SMALL, small), started_generator(wider, small)
    content, identity = torch.randn(2, 4, 8, 8), F.normalize(torch.randn(2, 16), dim=-1)
    fine = torch.randn(2, 8, 8, 8)
    assert torch.equal(widened.decode(torch.cat([content, fine], 1), identity), source.decode(content, identity))
    assert widened.encode(torch.rand(2, 3, 32, 32))[0].shape == (2, 12, 8, 8)


def test_a_gate_is_added_to_a_generator_without_one(small: Path) -> None:
    source, gated = started_generator(SMALL, small), started_generator(replace(SMALL, detail=True), small)
    content, identity = torch.randn(2, 4, 8, 8), F.normalize(torch.randn(2, 16), dim=-1)
    assert torch.allclose(gated.decode(content, identity), source.decode(content, identity), atol=1e-6)
    assert torch.equal(gated.decoder(content, identity)[:, 3], torch.zeros(2, 32, 32)), "half open everywhere"


def test_a_generator_that_does_not_fit_is_refused(small: Path) -> None:
    with pytest.raises(ConfigError, match="32 px generator and the run is for 128 px"):
        started_generator(replace(LARGE, resolution=128), small)
    with pytest.raises(ConfigError, match="does not fit"):
        started_generator(replace(LARGE, style_dim=24), small)


def test_without_a_file_the_weights_are_random() -> None:
    torch.manual_seed(3)
    first = started_generator(SMALL, None)
    torch.manual_seed(3)
    again = Generator(SMALL)
    assert torch.equal(first.encoder.from_rgb.weight, again.encoder.from_rgb.weight)
