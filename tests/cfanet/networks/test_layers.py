import torch
import torch.nn.functional as F

from cfanet.networks.layers import DownBlock, Linear, ModulatedBlock, ModulatedConv2d


def test_modulated_convolution_equals_convolving_with_demodulated_weights() -> None:
    """StyleGAN2, Eq. 1-3, written out sample by sample."""
    torch.manual_seed(0)
    layer = ModulatedConv2d(6, 5, style=4).double()
    x, style = torch.randn(3, 6, 8, 8).double(), torch.randn(3, 4).double()
    expected = []
    for one, s in zip(x, layer.style(style), strict=True):
        weight = layer.weight * s[None, :, None, None]
        weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        expected.append(F.conv2d(one[None], weight, padding=1) + layer.bias[None, :, None, None])
    assert torch.allclose(layer(x, style), torch.cat(expected), atol=1e-5)


def test_blocks_halve_and_double_the_size() -> None:
    x = torch.randn(2, 4, 16, 16)
    assert DownBlock(4, 7)(x).shape == (2, 7, 8, 8)
    assert ModulatedBlock(4, 7, 3, upsample=True)(x, torch.randn(2, 3)).shape == (2, 7, 32, 32)
    assert ModulatedBlock(4, 7, 3, upsample=False)(x, torch.randn(2, 3)).shape == (2, 7, 16, 16)


def test_linear_layers_keep_the_variance() -> None:
    torch.manual_seed(0)
    out = Linear(512, 512)(torch.randn(256, 512))
    assert 0.8 < float(out.std()) < 1.2
