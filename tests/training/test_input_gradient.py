import pytest
import torch
from torch import Tensor, nn

from tests.training.fakes import FakeNetwork
from training.input_gradient import with_cheap_gradient


class SmallRecognizer(nn.Module):
    """Strided depthwise and other convolutions, PReLU, a residual, a projection: what mobile networks are made of."""

    def __init__(self) -> None:
        super().__init__()
        self.entry = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.slope = nn.PReLU(8, init=0.3)
        self.depthwise = nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8)
        self.pointwise = nn.Conv2d(8, 8, 1)
        self.last = nn.Conv2d(8, 8, (3, 2), stride=(2, 1), groups=8, bias=False)
        self.project = nn.Linear(8 * 3 * 6, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.depthwise(self.slope(self.norm(self.entry(x))))
        y = self.last(y + self.pointwise(y))
        return self.project(y.view(y.size(0), -1))


@pytest.fixture
def frozen() -> torch.jit.ScriptModule:
    torch.manual_seed(0)
    network = SmallRecognizer().eval().requires_grad_(False)
    return torch.jit.freeze(torch.jit.script(network))


def gradient(network: object, crops: Tensor) -> tuple[Tensor, Tensor]:
    x = crops.clone().requires_grad_()
    embedding = network(x)  # type: ignore[operator]
    (embedding * torch.linspace(-1, 1, 4)).sum().backward()
    assert x.grad is not None
    return embedding.detach(), x.grad


def test_output_and_gradient_are_those_of_the_network(frozen: torch.jit.ScriptModule) -> None:
    cheap = with_cheap_gradient(frozen)
    assert cheap is not frozen
    crops = torch.randn(2, 3, 28, 28)
    expected, wanted = gradient(frozen, crops)
    seen, found = gradient(cheap, crops)
    assert float(wanted.abs().max()) > 0
    assert torch.allclose(seen, expected, atol=1e-5)
    assert torch.allclose(found, wanted, atol=1e-5)


def test_sides_that_the_stride_does_not_divide(frozen: torch.jit.ScriptModule) -> None:
    crops = torch.randn(2, 3, 26, 27)
    expected, wanted = gradient(frozen, crops)
    seen, found = gradient(with_cheap_gradient(frozen), crops)
    assert torch.allclose(seen, expected, atol=1e-5)
    assert torch.allclose(found, wanted, atol=1e-5)


def test_anything_but_a_frozen_feed_forward_graph_is_left_alone() -> None:
    plain = FakeNetwork(4)
    assert with_cheap_gradient(plain) is plain
    unfrozen = torch.jit.script(SmallRecognizer().eval())
    assert with_cheap_gradient(unfrozen) is unfrozen
