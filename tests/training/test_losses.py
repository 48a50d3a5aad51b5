import math

import pytest
import torch
import torch.nn.functional as F
from skimage.metrics import structural_similarity

from cfanet.align import crop_points
from training import losses


def rand(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def test_reconstruction_is_the_mean_absolute_difference_per_picture() -> None:
    x, y = rand(3, 3, 8, 8), rand(3, 3, 8, 8) * 0.5
    expected = torch.stack([F.l1_loss(a, b) for a, b in zip(x, y, strict=True)])
    assert torch.allclose(losses.reconstruction(x, y), expected)
    assert float(losses.reconstruction(x, x).max()) == 0.0


def test_pooled_colour_sees_skin_and_light_but_not_where_features_are() -> None:
    x = rand(2, 3, 64, 64)
    checker = (torch.arange(64)[:, None] + torch.arange(64)[None]) % 2 * 2.0 - 1.0
    assert float(losses.pooled_colour(x, x + checker).max()) < 1e-5
    assert float(losses.pooled_colour(x, x + 0.3).min()) == pytest.approx(0.3, abs=1e-5)
    eyebrow = torch.zeros(64, 64)
    eyebrow[20:24, 8:16], eyebrow[24:28, 8:16] = 0.5, -0.5  # grey, and its coarse mean is zero
    assert float(losses.pooled_colour(x, x + eyebrow).max()) < 1e-5
    lips = torch.zeros(3, 64, 64)
    lips[0, 40:44, 8:16] = 0.5
    assert float(losses.pooled_colour(x, x + lips).min()) > 1e-3


def test_masked_mean_takes_only_its_rows_and_survives_none() -> None:
    values = torch.tensor([1.0, 2.0, 30.0])
    assert float(losses.masked_mean(values, torch.tensor([True, True, False]))) == 1.5
    assert float(losses.masked_mean(values, torch.zeros(3, dtype=torch.bool))) == 0.0


def test_the_identity_terms_are_equation_4() -> None:
    a, b, c = (F.normalize(rand(4, n), dim=-1)[:, :8] for n in (8, 9, 10))
    for term in (losses.generated_identity, losses.encoded_identity):
        assert torch.allclose(term(a, b), (1 - F.cosine_similarity(a, b)).mean())
        assert float(term(b, b)) == pytest.approx(0.0, abs=1e-6)
        assert float(term(-b, b)) == pytest.approx(2.0, abs=1e-6)
    assert not torch.allclose(losses.generated_identity(a, b), losses.encoded_identity(c, b))


def test_smoothness_is_one_minus_cosine_and_keeps_its_gradient_where_that_rounds_away() -> None:
    u, v = rand(5, 32), rand(5, 33)[:, :32]
    assert torch.allclose(losses.identity_smoothness(u, v), (1 - F.cosine_similarity(u, v)).mean(), atol=1e-6)
    near = (u + 1e-4 * v).requires_grad_()
    losses.identity_smoothness(u, near).backward()
    assert near.grad is not None
    assert float(near.grad.abs().sum()) > 0
    assert float((1 - F.cosine_similarity(u, u + 1e-5 * v)).abs().max()) < 1e-6


def test_the_minimax_sides_are_the_logistic_losses() -> None:
    real, fake = torch.tensor([2.0, -1.0]), torch.tensor([0.5])
    expected = -torch.log(torch.sigmoid(real)).mean() - torch.log(1 - torch.sigmoid(fake)).mean()
    assert torch.allclose(losses.discriminates(real, fake), expected, atol=1e-6)
    assert float(losses.fools(torch.zeros(3))) == pytest.approx(math.log(2))


def test_r1_is_the_squared_gradient() -> None:
    x = rand(2, 3, 4, 4).requires_grad_()
    logits = (x * 3.0).sum((1, 2, 3))
    assert float(losses.r1_penalty(logits, x)) == pytest.approx(9.0 * 48)


def test_structure_is_ssim_as_scikit_image_computes_it() -> None:
    a, b = rand(2, 1, 32, 32).clamp(-1, 1), rand(2, 1, 32, 33)[..., :32].clamp(-1, 1) * 0.5
    ours = losses.ssim_map(a, a * 0.3 + b)
    for row, one, two in zip(ours, a, a * 0.3 + b, strict=True):
        options = {"data_range": 2.0, "win_size": 7, "use_sample_covariance": False, "full": True}
        _, theirs = structural_similarity(one[0].numpy(), two[0].numpy(), **options)
        assert row[0].numpy() == pytest.approx(theirs[3:-3, 3:-3], abs=1e-4)


def test_structure_counts_a_changed_mouth_more_than_a_changed_forehead() -> None:
    x = (rand(1, 3, 64, 64) * 0.3).clamp(-1, 1)
    assert float(losses.structure(x, x, 6.0)[0]) == pytest.approx(0.0, abs=1e-5)
    mouth, forehead = x.clone(), x.clone()
    column, row = crop_points(64)[3:].mean(0).round().astype(int)
    mouth[..., row - 5 : row + 5, column - 8 : column + 8] *= -1
    forehead[..., 8:18, column - 8 : column + 8] *= -1
    assert float(losses.structure(x, mouth, 6.0)[0]) > 2.0 * float(losses.structure(x, forehead, 6.0)[0]) > 0.0


def test_fine_structure_costs_what_lies_above_what_is_free() -> None:
    x = torch.nn.functional.interpolate(rand(3, 3, 16, 16), size=64, mode="bicubic").clamp(-1, 1)
    cross = torch.stack([x[0], x[1], x[2].flip(-1)])
    cross[1] = cross[1].lerp(x[0], 0.25)
    cross.requires_grad_()
    cost = losses.fine_structure(x, cross, 0.8)
    assert float(cost[0]) == pytest.approx(0.2, abs=1e-3)
    assert 0.01 < float(cost[1]) < 0.19 and float(cost[2]) == 0.0
    cost.sum().backward()  # type: ignore[no-untyped-call]
    assert cross.grad is not None and torch.isfinite(cross.grad).all()
    assert cross.grad[1].abs().max() > 0 and cross.grad[2].abs().max() == 0
    step = losses.fine_structure(x, cross.detach() - 0.5 * cross.grad / cross.grad.abs().max(), 0.8)
    assert float(step[1]) < float(cost[1]), "and less of it shows where the price leads"


def test_eyes_can_count_more_than_the_mouth() -> None:
    even, eyes = losses.expression_weight(64, 6.0), losses.expression_weight(64, 10.0)
    (left, top), (corner, row) = (crop_points(64)[n].astype(int) for n in (0, 3))
    assert float(even.min()) >= 1.0
    assert float(even[top, left]) > 5.0
    assert float(eyes[top, left]) > 1.5 * float(even[top, left])
    assert float(eyes[row, corner]) == pytest.approx(float(even[row, corner]), abs=0.05)
