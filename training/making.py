"""The forward pass of a training step: new faces and restored ones out of pairs."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cfanet.hypersphere import rotate, tangent
from cfanet.networks.generator import Generator
from training.data import Pairs


@dataclass(frozen=True, eq=False)
class Step:
    """What one forward pass of the generator produced."""

    pairs: Pairs
    cross: Tensor  # (B, 3, R, R): content of x, identity of y
    judged: Tensor  # (B,) bool: pairs on which Eq. 4 is computed
    judged_rows: Tensor  # their rows, int64
    again: Tensor  # int64: the rows on which Eq. 8 is
    restored: Tensor  # (pairs of `again`, 3, R, R): content and identity of x, nothing carried over
    content: Tensor  # z_con of x
    as_x: Tensor  # (B, d): the identity that stood for x's; its own z_id or R_id's vector
    as_y: Tensor  # (B, d): the identity that was asked for, on which the decoder was conditioned
    asked: Tensor  # (B, d): what R_id is to see in `cross`
    z_x: Tensor  # (B, d)
    z_y: Tensor  # (B, d), of the augmented pictures


class Making(nn.Module):
    """Encoders and decoder on one step's pairs; tensors in, tensors out, so that a GPU can record it."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator, self.branch = generator, BranchAlone(generator)

    def forward(
        self, x: Tensor, y: Tensor, vectors: Tensor, theta_rad: Tensor, own: Tensor, again: Tensor
    ) -> tuple[Tensor, ...]:
        """`x`, `y`, `theta_rad` as in `Pairs`; its `x_embedding`, `y_embedding` and `turn` are `vectors` (3, B, d).

        `own` (B, 1) bool: z_id instead of R_id's vector; `again` as in `Step`. Returns cross, restored, content, as_x,
        as_y, asked, z_x, z_y, as in `Step`.
        """
        x_embedding, y_embedding, turn = vectors
        detail = self.generator.config.detail
        content, features = self.generator.encoder.content_and_features(x)
        z_x, z_y = self.generator.encoder.identity(features), self.branch(y)
        as_x = torch.where(own, z_x, x_embedding)
        # A virtual identity lies at an angle from x's own, towards a direction that real identities take.
        virtual = (theta_rad > 0)[:, None]
        origin = (z_x if detail else as_x).detach()
        as_y = torch.where(virtual, rotate(origin, tangent(origin, turn), theta_rad), y_embedding)
        origin = x_embedding if detail else origin
        turned = rotate(origin, tangent(origin, turn), theta_rad)
        asked = torch.where(virtual, turned, y_embedding)
        if detail:
            restored = self.generator.decode(content, z_x).float()
            cross = self.generator.move(x, content, z_x, as_y, restored)
        else:
            both = torch.cat([content, content[again]]), torch.cat([as_y, as_x[again]])
            decoded = self.generator.decode(*both).float()
            cross, restored = decoded[: len(content)], decoded[len(content) :]
        return cross, restored, content, as_x, as_y, asked, z_x, z_y


class BranchAlone(nn.Module):
    """z_id, with gradients for the identity branch only: the stem learns from x, and a step costs less."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, crops: Tensor) -> Tensor:
        """(N, 3, R, R) → (N, d)."""
        with torch.no_grad():
            features = self.generator.encoder.features(crops)
        identity: Tensor = self.generator.encoder.identity(features)
        return identity
