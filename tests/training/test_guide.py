import numpy as np
import torch

from cfanet.align import crop_points, similarity_transform, warp
from cfanet.recognizers import Descriptor, TorchRecognizer
from tests.cfanet.portraits import grace_hopper
from training.guide import Guide


class Passthrough(torch.nn.Module):
    """Returns what it sees, flattened: shows which pixels the recognizer is given."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)


def test_the_guide_sees_in_the_crop_what_the_recognizer_sees_in_the_picture() -> None:
    image = grace_hopper()
    five = np.array([[215, 200], [300, 200], [258, 250], [220, 290], [295, 290]], np.float32)
    recognizer = TorchRecognizer("passthrough", Passthrough(), Descriptor(), "0" * 64)
    crop = warp(image, similarity_transform(five, crop_points(256)), (256, 256))
    seen = Guide(recognizer, 256)(crop)
    expected = torch.nn.functional.normalize(recognizer.network(recognizer.crop(image, five) * 127.5 / 128.0), dim=-1)
    rows = (3, recognizer.descriptor.height, recognizer.descriptor.width)
    below = slice(6, None)  # the crop ends 5 template pixels below the recognition window's upper edge
    views = [view.reshape(rows)[:, below].flatten() for view in (seen[0], expected[0])]
    assert float(torch.cosine_similarity(*views, dim=0)) > 0.99


def test_shaking_changes_the_view_is_repeatable_and_lets_gradients_through() -> None:
    recognizer = TorchRecognizer("passthrough", Passthrough(), Descriptor(), "0" * 64)
    guide = Guide(recognizer, 64)
    crops = torch.rand(3, 3, 64, 64, requires_grad=True)
    still = guide(crops)
    shaken = guide(crops, torch.Generator().manual_seed(1))
    assert not torch.allclose(still, shaken)
    assert torch.equal(shaken, guide(crops, torch.Generator().manual_seed(1)))
    shaken[:, 0].sum().backward()
    assert crops.grad is not None
    assert float(crops.grad.abs().sum()) > 0


def test_a_small_crop_is_shaken_but_never_made_too_small_to_know_anybody() -> None:
    recognizer = TorchRecognizer("passthrough", Passthrough(), Descriptor(), "0" * 64)
    guide = Guide(recognizer, 64)
    detail = (torch.arange(64) // 2 % 2).float().expand(1, 3, 64, 64) * 2 - 1  # gone when a side is halved or less
    for seed in range(40):
        seen = guide(detail.contiguous(), torch.Generator().manual_seed(seed))
        assert float(seen.std() / seen.square().mean().sqrt()) > 0.15, seed


def test_crops_smaller_than_that_are_shaken_as_well() -> None:
    guide = Guide(TorchRecognizer("passthrough", Passthrough(), Descriptor(), "0" * 64), 32)
    for seed in range(10):  # half of them go through a lower resolution
        assert guide(torch.rand(2, 3, 32, 32), torch.Generator().manual_seed(seed)).isfinite().all()


def test_paint_of_equal_brightness_changes_nobody_for_a_guide_that_sees_grey() -> None:
    guide = Guide(TorchRecognizer("passthrough", Passthrough(), Descriptor(), "0" * 64), 64)
    face = 0.6 * torch.rand(2, 3, 64, 64)
    painted = face.clone()
    painted[:, :, 30:40, 10:30] += torch.tensor([0.587, -0.299, 0.0])[:, None, None]

    def apart(grey_share: float) -> list[float]:
        """By how much the painted faces look different."""
        rngs = [torch.Generator().manual_seed(5) for _ in range(2)]
        seen = [guide.sight(*guide.shaken(f, r, grey_share)) for f, r in zip((face, painted), rngs, strict=True)]
        return (1 - torch.cosine_similarity(*seen)).tolist()

    assert min(apart(0.0)) > 1e-3
    assert max(apart(1.0)) < 1e-6
    assert torch.equal(
        guide(face, torch.Generator().manual_seed(5)),
        guide.sight(*guide.shaken(face, torch.Generator().manual_seed(5))),
    )
