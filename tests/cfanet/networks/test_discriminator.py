import torch

from cfanet.networks.discriminator import Discriminator, LocalDiscriminator, PatchDiscriminator, random_patches


def test_one_logit_per_crop_and_per_patch() -> None:
    x = torch.randn(4, 3, 32, 32)
    assert Discriminator(32, 8, 16)(x).shape == (4,)
    rng = torch.Generator().manual_seed(0)
    patches, references = random_patches(x, 3, 16, rng), random_patches(x, 2, 16, rng)
    assert patches.shape == (4, 3, 3, 16, 16)
    assert LocalDiscriminator(16, 8, 16)(patches, references).shape == (12,)


def test_a_logit_of_the_patch_discriminator_sees_its_patch_alone() -> None:
    torch.manual_seed(0)
    judge = PatchDiscriminator(8, 16).eval()
    x = torch.randn(1, 3, 128, 128)
    changed = x.clone()
    changed[:, :, :8, :8] += 1.0
    one, two = judge(x), judge(changed)
    assert one.shape == (1, 1, 8, 8)
    assert not torch.equal(one[..., 0, 0], two[..., 0, 0])
    assert torch.equal(one[..., 4:, 4:], two[..., 4:, 4:])


def test_patches_are_an_eighth_to_a_quarter_of_the_side_and_lie_inside() -> None:
    ramp = torch.linspace(0, 1, 64).expand(1, 1, 64, 64)
    x = torch.cat([ramp, ramp.transpose(2, 3), torch.zeros(1, 1, 64, 64)], dim=1)
    patches = random_patches(x, 500, 16, torch.Generator().manual_seed(0))[0]
    spans = patches[:, 0].amax((1, 2)) - patches[:, 0].amin((1, 2))
    assert float(spans.min()) > 1 / 8 * 0.85
    assert float(spans.max()) < 1 / 4 * 1.05
    assert float(spans.max() - spans.min()) > 0.08, "sizes vary"
    assert float(patches[:, 0].min()) < 0.05
    assert float(patches[:, 0].max()) > 0.95, "patches reach both sides"


def test_a_patch_is_a_copy_of_its_picture() -> None:
    x = torch.stack([torch.full((3, 32, 32), value) for value in (0.1, 0.9)])
    patches = random_patches(x, 5, 8, torch.Generator().manual_seed(0))
    assert torch.allclose(patches[0], torch.tensor(0.1))
    assert torch.allclose(patches[1], torch.tensor(0.9))


def test_gradients_reach_the_pictures() -> None:
    x = torch.randn(2, 3, 32, 32, requires_grad=True)
    random_patches(x, 4, 8, torch.Generator().manual_seed(0)).sum().backward()
    assert x.grad is not None
    assert float(x.grad.abs().sum()) > 0
