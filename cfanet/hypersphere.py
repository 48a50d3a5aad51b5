"""Geometry of the unit hypersphere on which identities live. Pure functions on tensors."""

import torch
from torch import Tensor

_TINY = 1e-12


def normalise(v: Tensor) -> Tensor:
    """Project (..., d) onto the unit sphere; a zero vector raises ValueError."""
    norm = v.norm(dim=-1, keepdim=True)
    if bool((norm <= _TINY).any()):
        raise ValueError("cannot normalise a zero vector: it has no direction on the sphere")
    unit: Tensor = v / norm
    return unit


def angle_rad(u: Tensor, v: Tensor) -> Tensor:
    """Angle in [0, π] between unit vectors (..., d): 2·atan2(|u−v|, |u+v|), exact near 0 and π (Kahan)."""
    return 2.0 * torch.atan2((u - v).norm(dim=-1), (u + v).norm(dim=-1))


def slerp(u: Tensor, v: Tensor, t: Tensor | float) -> Tensor:
    """Spherical interpolation of unit vectors (..., d); t in [0, 1], broadcast over leading dimensions.

    Computed as a rotation of `u` towards `v`, so that it stays exact where sin(angle) is small.
    """
    t = torch.as_tensor(t, dtype=u.dtype, device=u.device)
    return rotate(u, tangent(u, v), t * angle_rad(u, v))


def tangent(u: Tensor, direction: Tensor) -> Tensor:
    """Unit tangent at `u` (..., d, unit) towards `direction` (..., d): its part orthogonal to u, normalised.

    Where `direction` is parallel to `u` the result is the zero vector: there is nowhere to turn to.
    """
    flat = direction - (direction * u).sum(-1, keepdim=True) * u
    flat = flat - (flat * u).sum(-1, keepdim=True) * u  # a second pass removes what rounding left
    unit: Tensor = flat / flat.norm(dim=-1, keepdim=True).clamp_min(_TINY)
    return unit


def rotate(u: Tensor, unit_tangent: Tensor, theta_rad: Tensor | float) -> Tensor:
    """Rotate unit `u` (..., d) by exactly θ towards a unit tangent at u (Eq. 10 with equality)."""
    theta = torch.as_tensor(theta_rad, dtype=u.dtype, device=u.device)[..., None]
    return torch.cos(theta) * u + torch.sin(theta) * unit_tangent
