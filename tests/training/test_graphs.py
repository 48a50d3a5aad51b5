import pytest
import torch
from torch import nn

from training.graphs import Graphs

NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU")


def test_a_processor_calls_the_networks_as_they_are() -> None:
    network, x = nn.Linear(3, 2), torch.rand(4, 3)
    call = Graphs(torch.device("cpu"), bfloat16=False, fixed_shapes=True)
    assert torch.equal(call("a", network, x), network(x))
    assert call("a", network, x[:2]).shape == (2, 2)  # nothing was recorded


@NEEDS_GPU
def test_a_recorded_call_gives_what_the_network_gives_with_gradients() -> None:
    network = nn.Sequential(nn.Linear(3, 8), nn.LeakyReLU(0.2), nn.Linear(8, 2)).cuda()
    call = Graphs(torch.device("cuda"), bfloat16=False, fixed_shapes=True)
    for step in range(3):
        x = torch.rand(4, 3, generator=torch.Generator().manual_seed(step)).cuda().requires_grad_()
        gradients = []
        for made in (call("a", network, x), network(x)):
            network.zero_grad()
            (gradient,) = torch.autograd.grad(made.square().sum(), x, retain_graph=True)
            made.square().sum().backward()
            gradients.append([gradient, *(p.grad.clone() for p in network.parameters() if p.grad is not None)])
        for recorded, plain in zip(*gradients, strict=True):
            assert torch.allclose(recorded, plain, atol=1e-5)
