"""Directions in which a new identity keeps the lids and the smile of the old one.

How far a new identity opens the eyes or widens the smile is in part a linear function of the step from the old one,
w · (z' − z), the same for every face (docs/LOG.md, 2026-11-28). A direction is turned, at its angle, to where the
slopes w foretell less of it; of what remains of the sphere, the draw decides as before.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from cfanet.hypersphere import tangent

_MOST = 0.9  # of a unit tangent that slopes may decide: more would give many faces the same new one
_NO_TURN = 1e-6  # sine of an angle at which a direction leads nowhere


@dataclass(frozen=True, eq=False)
class KeptExpression:
    """What is kept, and how much of it."""

    slopes: Tensor  # (k, d) float64: change of a measure of the face with the identity, k < d - 1
    share: Tensor  # (k,) float64 in (0, 1]: of the foretold change that is avoided

    @classmethod
    def of(cls, slopes: Mapping[str, Tensor], shares: Mapping[str, float]) -> "KeptExpression | None":
        """Those of a generator's `slopes`, (d,) each, whose share is more than 0; None where there are none."""
        names = [name for name in sorted(slopes) if shares.get(name, 0.0) > 0.0]
        if not names:
            return None
        share = torch.tensor([shares[name] for name in names], dtype=torch.float64)
        return cls(torch.stack([slopes[name] for name in names]).double(), share)

    def turn(self, origin: Tensor, towards: Tensor, angle_rad: float) -> Tensor:
        """Unit tangents (n, d) at `origin` (d,), float64, turned so that less of the expression changes at the angle.

        What the slopes foretell, w · ((cos θ − 1) z + sin θ u), becomes 1 − share of what it was, as far as their part
        of a direction may go; the rest of it stays the draw's.
        """
        sine = math.sin(angle_rad)
        if abs(sine) < _NO_TURN:
            return towards
        foretold = sine * towards @ self.slopes.T + (math.cos(angle_rad) - 1.0) * (self.slopes @ origin)
        wanted = towards @ self.slopes.T - self.share * foretold / sine
        held = torch.cat([self.slopes, origin[None]])
        decided = torch.cat([wanted, wanted.new_zeros(len(wanted), 1)], 1) @ torch.linalg.pinv(held).T
        decided = decided * (_MOST / decided.norm(dim=1, keepdim=True)).clamp_max(1.0)
        basis = torch.linalg.qr(held.T).Q
        free = towards - towards @ basis @ basis.T
        turned = decided + (1.0 - decided.square().sum(1, keepdim=True)).sqrt() * tangent(origin, free)
        return tangent(origin, turned)
