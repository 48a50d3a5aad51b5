import math

import pytest
import torch

from cfanet.hypersphere import angle_rad, normalise, rotate, slerp, tangent


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return normalise(torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))


@pytest.mark.parametrize("degrees", [0.0, 1e-6, 30.0, 90.0, 150.0, 180.0])
def test_rotation_moves_by_exactly_the_angle_and_stays_on_the_sphere(degrees: float) -> None:
    u, v = unit(50, 128), unit(50, 128, seed=1)
    moved = rotate(u, tangent(u, v), math.radians(degrees))
    assert torch.allclose(moved.norm(dim=-1), torch.ones(50, dtype=torch.float64), atol=1e-12)
    assert torch.allclose(
        torch.rad2deg(angle_rad(u, moved)), torch.full((50,), degrees, dtype=torch.float64), atol=1e-6
    )


def test_angle_agrees_with_acos_where_acos_is_exact_and_resolves_what_acos_cannot() -> None:
    u, v = unit(20, 64), unit(20, 64, seed=1)
    assert torch.allclose(angle_rad(u, v), torch.acos((u * v).sum(-1)), atol=1e-12)
    tiny = 1e-9
    moved = rotate(u, tangent(u, v), tiny)
    assert torch.allclose(angle_rad(u, moved), torch.full((20,), tiny, dtype=torch.float64), rtol=1e-4)
    assert float(torch.acos((u * moved).sum(-1).clamp(max=1.0)).max()) != pytest.approx(tiny, rel=1e-3)


def test_slerp_meets_its_ends_and_divides_the_angle_evenly() -> None:
    u, v = unit(10, 32), unit(10, 32, seed=1)
    assert torch.allclose(slerp(u, v, 0.0), u, atol=1e-12)
    assert torch.allclose(slerp(u, v, 1.0), v, atol=1e-12)
    third = slerp(u, v, torch.full((10,), 1 / 3, dtype=torch.float64))
    assert torch.allclose(angle_rad(u, third), angle_rad(u, v) / 3, atol=1e-12)


def test_tangent_is_orthogonal_and_unit() -> None:
    u, v = unit(10, 32), unit(10, 32, seed=1)
    flat = tangent(u, v)
    assert torch.allclose((flat * u).sum(-1), torch.zeros(10, dtype=torch.float64), atol=1e-14)
    assert torch.allclose(flat.norm(dim=-1), torch.ones(10, dtype=torch.float64), atol=1e-12)


def test_there_is_nowhere_to_turn_to_from_a_vector_towards_itself() -> None:
    u = unit(1, 8)
    assert float(tangent(u, u).norm()) < 1e-3


def test_a_zero_vector_has_no_direction() -> None:
    with pytest.raises(ValueError, match="zero vector"):
        normalise(torch.zeros(1, 8))
