"""k-Same and k-Same-Eigen (Newton, Sweeney and Malin, 2005): a face becomes the average of k faces of other people.

The donors are cut once into groups of at least k by the paper's greedy rule, whatever is anonymized; a face takes the
average of the group of the donor it resembles most. So the output is one of at most N/k faces, and does not depend on
batch, worker or order.

What it promises depends on the donors. If they are the very faces to be anonymized, one per person, k of them get the
same average and nobody can tell which of the k it was: the paper's guarantee. For other donors, or several pictures of
one person, the guarantee does not hold; what is left of the original is then its place, its pose, and which of the N/k
averages it is nearest to. An average still shows what its k members share, and k outputs that are equal are linkable.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from cfanet.donors import Donors, as_bytes, as_crop, shrink, sketch

_EIGEN_SIZE = 64  # crops are averaged down to this for eigenfaces: finer detail is not in the first components


def greedy_groups(rows: Tensor, k: int) -> list[list[int]]:
    """Cut (N, d) rows into groups of k nearest ones, the last of k to 2k − 1; ValueError where N < k.

    The paper's rule: the first row that is left takes its k − 1 nearest of those that are left.
    """
    if len(rows) < k:
        raise ValueError(f"{len(rows)} rows cannot be cut into groups of {k}")
    left = list(range(len(rows)))
    groups = []
    while len(left) >= 2 * k:
        distance = (rows[left] - rows[left[0]]).double().square().sum(-1)
        distance[0] = -1.0  # the first is always in its own group, also beside a copy of itself
        nearest = torch.argsort(distance, stable=True)[:k].tolist()
        groups.append(sorted(left[i] for i in nearest))
        taken = set(groups[-1])
        left = [i for i in left if i not in taken]
    groups.append(left)
    return groups


class KSame:
    """Gives every face the average of a group of donors."""

    def __init__(self, donors: Donors, k: int, components: int | None = None) -> None:
        """Group the donors; with `components`, k-Same-Eigen: distances and averages in so many eigenfaces."""
        self.digest = donors.digest
        self.size = donors.size
        self._describe: Callable[[Tensor], Tensor] = sketch
        self._finish: Callable[[Tensor], Tensor] = lambda average: average
        if components is not None:
            eigen = Eigenfaces(donors.crops, components)
            self._describe, self._finish = eigen.project, eigen.restore
        self._donors = donors
        self._rows = self._describe(donors.crops)
        self._groups = greedy_groups(self._rows, k)
        self._group_of = {member: number for number, group in enumerate(self._groups) for member in group}
        self._averages: dict[int, Tensor] = {}

    def face(self, crop: Tensor, points: Tensor, rng: torch.Generator) -> Tensor:
        """The average for one face; (1, 3, S, S) in [-1, 1] → the same. Landmarks and randomness are not used."""
        row = self._describe(as_bytes(crop))
        distance = (self._rows - row).double().square().sum(-1)
        number = self._group_of[int(torch.argmin(distance))]
        if number not in self._averages:
            members = self._donors.crops[self._groups[number]].float()
            self._averages[number] = as_crop(self._finish(members.mean(0)))
        return self._averages[number]


class Eigenfaces:
    """The first principal components of crops (Turk and Pentland, 1991)."""

    def __init__(self, crops: Tensor, components: int) -> None:
        """From (N, 3, S, S) in [0, 255]; at most N − 1 components exist."""
        self._side = int(crops.shape[-1])
        rows = self._flat(crops)
        self._mean = rows.mean(0)
        centred = rows - self._mean
        # N is smaller than the number of pixels, so the small Gram matrix gives the same components.
        values, vectors = torch.linalg.eigh((centred @ centred.T).double())
        first = slice(-min(components, len(rows) - 1), None)
        basis = (vectors[:, first].float().T @ centred) / values[first].clamp_min(1e-9).sqrt().float()[:, None]
        self._basis = basis.flip(0)  # (K, pixels), largest variance first

    def project(self, crops: Tensor) -> Tensor:
        """Coefficients of (N, 3, S, S) in [0, 255]; (N, K)."""
        coefficients: Tensor = (self._flat(crops) - self._mean) @ self._basis.T
        return coefficients

    def restore(self, crop: Tensor) -> Tensor:
        """What the components show of one (3, S, S) in [0, 255]; the same size."""
        seen = self._mean + self.project(crop[None])[0] @ self._basis
        small = seen.reshape(1, 3, _EIGEN_SIZE, _EIGEN_SIZE)
        size = (self._side, self._side)
        return F.interpolate(small, size=size, mode="bilinear", align_corners=False)[0].clamp(0.0, 255.0)

    def _flat(self, crops: Tensor) -> Tensor:
        return shrink(crops, _EIGEN_SIZE)
