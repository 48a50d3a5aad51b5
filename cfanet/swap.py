"""Face swap with a donor (after Samarzija and Ribaric, 2014): a real face of somebody else, in a similar pose.

The donor is drawn, with the face's own randomness, from the far half of those whose pose is closest: a distant face
hides more than a near one. Its colours are shifted to those of the original. Whoever is a donor is shown to the world
in pictures they were never in: this is a method to compare with, not one to release with.
"""

import torch
from torch import Tensor

from cfanet.donors import Donors, as_bytes, as_crop, sketch

_SIMILAR_POSE = 0.2  # share of the donors whose landmarks are closest
_FAR = 0.5  # share of those that resemble the face least
_INSIDE = slice(0.2, 0.8)  # colours are compared in the middle of the crop, where skin is
_LARGEST_GAIN = 2.0  # of contrast: a flat face is not stretched into noise


class DonorSwap:
    """Gives every face the face of a donor."""

    def __init__(self, donors: Donors) -> None:
        """Take the donors as they are."""
        self.digest = donors.digest
        self.size = donors.size
        self._donors = donors
        self._rows = sketch(donors.crops)

    def face(self, crop: Tensor, points: Tensor, rng: torch.Generator) -> Tensor:
        """A donor's face for one face; (1, 3, S, S) in [-1, 1] and its (5, 2) landmarks → the same size."""
        own = as_bytes(crop)
        apart = (self._donors.points - points).square().sum((-1, -2))
        similar = torch.argsort(apart, stable=True)[: max(1, round(_SIMILAR_POSE * len(apart)))]
        distance = (self._rows[similar] - sketch(own)).square().sum(-1)
        far = similar[torch.argsort(-distance, stable=True)[: max(1, round(_FAR * len(similar)))]]
        donor = int(far[int(torch.randint(len(far), (1,), generator=rng))])
        return as_crop(_recoloured(self._donors.crops[donor].float(), own[0]))


def _recoloured(donor: Tensor, own: Tensor) -> Tensor:
    """(3, S, S) in [0, 255] with the other's mean and contrast of each colour, measured in the middle."""
    size = donor.shape[-1]
    inside = slice(round(_INSIDE.start * size), round(_INSIDE.stop * size))
    there, here = (crop[:, inside, inside].flatten(1) for crop in (donor, own))
    gain = (here.std(1) / there.std(1).clamp_min(1.0)).clamp(1.0 / _LARGEST_GAIN, _LARGEST_GAIN)
    moved = (donor - there.mean(1)[:, None, None]) * gain[:, None, None] + here.mean(1)[:, None, None]
    return moved.clamp(0.0, 255.0)
