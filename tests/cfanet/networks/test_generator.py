import pytest
import torch

from cfanet.networks.generator import Generator, GeneratorConfig

SMALL = GeneratorConfig(
    resolution=32,
    identity_dim=16,
    content_size=8,
    content_channels=4,
    fine_channels=(),
    style_dim=16,
    width=8,
    max_width=32,
)


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
