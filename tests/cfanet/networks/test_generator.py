from dataclasses import replace

import pytest
import torch

from cfanet.networks.generator import Generator, GeneratorConfig
from tests.cfanet.tiny import CONFIG

SMALL = replace(CONFIG, max_width=32)


@pytest.fixture
def generator() -> Generator:
    torch.manual_seed(0)
    return Generator(SMALL).eval()


def test_shapes_and_the_unit_sphere(generator: Generator) -> None:
    content, identity = generator.encode(torch.randn(3, 3, 32, 32))
    assert content.shape == (3, 4, 8, 8)
    assert torch.allclose(identity.norm(dim=-1), torch.ones(3), atol=1e-6)
    assert generator.decode(content, identity).shape == (3, 3, 32, 32)


def test_identify_is_the_encoders_identity_branch(generator: Generator) -> None:
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(generator.identify(x), generator.encode(x)[1])


def test_the_identity_reaches_every_pixel_and_gradients_reach_both_codes(generator: Generator) -> None:
    content, identity = generator.encode(torch.randn(1, 3, 32, 32))
    other = torch.nn.functional.normalize(torch.randn(1, 16), dim=-1)
    changed = (generator.decode(content, identity) - generator.decode(content, other)).abs().sum(1)
    assert float((changed > 0).float().mean()) > 0.99
    generator.decode(content, identity).square().sum().backward()
    assert all(p.grad is not None and float(p.grad.abs().sum()) > 0 for p in generator.parameters() if p.ndim > 1)


def test_members_of_a_batch_do_not_influence_each_other(generator: Generator) -> None:
    x = torch.randn(4, 3, 32, 32)
    together = generator.decode(*generator.encode(x))
    alone = torch.cat([generator.decode(*generator.encode(one[None])) for one in x])
    assert torch.allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("resolution", [48, 8])
def test_impossible_sizes_are_refused(resolution: int) -> None:
    values = {**SMALL.__dict__, "resolution": resolution}
    with pytest.raises(ValueError, match="power of two"):
        Generator(GeneratorConfig(**values))


def test_other_resolutions_are_configuration() -> None:
    values = {**SMALL.__dict__, "resolution": 128}
    x = torch.randn(1, 3, 128, 128)
    large = Generator(GeneratorConfig(**values))
    assert large.decode(*large.encode(x)).shape == x.shape


def detailed() -> Generator:
    torch.manual_seed(1)
    return Generator(replace(SMALL, detail=True, fine_channels=(2, 1))).eval()


def test_content_at_several_sizes_is_folded_into_one_code() -> None:
    generator = detailed()
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    content, identity = generator.encode(x)
    assert content.shape == (2, 4 + 2 * 4 + 1 * 16, 8, 8)
    one_pixel = x.clone()
    one_pixel[:, :, 20, 20] += 0.5
    changed = generator.encode(one_pixel)[0]
    for part in torch.split(content - changed, [4, 8, 16], dim=1):
        assert float(part.detach().abs().max()) > 0, "each size sees the pixel"
    for start in (0, 4, 12):
        without = content.clone()
        without[:, start] += 1.0
        assert not torch.equal(generator.decode(without, identity), generator.decode(content, identity))


def test_finer_content_cannot_be_finer_than_the_crop() -> None:
    with pytest.raises(ValueError, match="reaches beyond"):
        Generator(replace(SMALL, fine_channels=(2, 1, 1)))


def test_an_angle_of_zero_gives_the_original_and_larger_ones_go_further_away() -> None:
    generator = detailed()
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    content, identity = generator.encode(x)
    other = torch.nn.functional.normalize(torch.randn(2, 16), dim=-1)
    assert torch.allclose(generator.move(x, content, identity, identity), x, atol=1e-5)
    steps = [torch.nn.functional.normalize(identity + t * (other - identity), dim=-1) for t in (0.1, 0.4, 1.0)]
    distances = [float((generator.move(x, content, identity, goal) - x).detach().abs().mean()) for goal in steps]
    assert 0 < distances[0] < distances[1] < distances[2]


def test_a_closed_gate_lets_nothing_of_the_original_through() -> None:
    generator = detailed()
    finest = generator.decoder.to_rgb["32"]
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    content, identity = generator.encode(x)
    with torch.no_grad():
        finest.get_parameter("bias")[3] = 100.0
    shown = generator.move(x, content, identity, -identity)
    assert torch.allclose(shown, generator.decode(content, -identity), atol=1e-5)
    assert torch.equal(shown, generator.move(x, content, identity, -identity, generator.decode(content, identity)))


@pytest.mark.parametrize("detail", [True, False])
def test_a_grey_portrait_stays_grey_beside_one_in_colour(generator: Generator, detail: bool) -> None:
    network = detailed() if detail else generator
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    x[0] = x[0].mean(0)
    content, identity = network.encode(x)
    moved = network.move(x, content, identity, -identity)
    assert torch.equal(moved[0, 0], moved[0, 1]) and torch.equal(moved[0, 0], moved[0, 2])
    assert not torch.equal(moved[1, 0], moved[1, 1])


def test_without_detail_a_face_is_the_paper_s(generator: Generator) -> None:
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    content, identity = generator.encode(x)
    assert torch.equal(generator.move(x, content, identity, -identity), generator.decode(content, -identity))
