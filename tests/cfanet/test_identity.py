import math

import numpy as np
import pytest
import torch

from cfanet.config import LoopSettings
from cfanet.errors import ConfigError
from cfanet.hypersphere import angle_rad, normalise
from cfanet.identity import MAX_ANGLE_DEG, IdentityBranch, angle_of_attempt, propose
from cfanet.weights import IdentitySpread
from tests.cfanet.tiny import face_at, noise, spread, tiny_generator

Z = normalise(torch.randn(16, generator=torch.Generator().manual_seed(0)))


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("angle", [0.0, 15.0, 90.0, 150.0])
def test_the_angle_is_the_one_asked_for(angle: float) -> None:
    proposed = propose(Z, spread(), angle, rng())
    assert math.degrees(float(angle_rad(Z.double(), proposed.double()))) == pytest.approx(angle, abs=1e-3)
    assert float(proposed.norm()) == pytest.approx(1.0, abs=1e-6)


def test_other_randomness_gives_other_people_at_the_same_angle() -> None:
    one, two = propose(Z, spread(), 60.0, rng(0)), propose(Z, spread(), 60.0, rng(1))
    assert float(angle_rad(one, two)) > 0.2
    assert torch.equal(one, propose(Z, spread(), 60.0, rng(0)))


def test_directions_come_from_the_spread_of_real_identities() -> None:
    root = torch.zeros(16, 16)
    root[3, 3] = 1.0  # real identities differ along one axis only
    narrow = IdentitySpread(torch.zeros(16), root)
    step = propose(Z, narrow, 90.0, rng())
    axis = torch.zeros(16)
    axis[3] = 1.0
    expected = normalise(axis - Z[3] * Z)
    assert float((step @ expected).abs()) == pytest.approx(1.0, abs=1e-5)


def test_a_measured_spread_has_the_vectors_mean_and_covariance() -> None:
    vectors = torch.randn(500, 5, generator=rng()) @ torch.diag(torch.tensor([1.0, 2, 3, 4, 5])) + 1.0
    measured = IdentitySpread.measure(vectors)
    assert torch.allclose(measured.mean, vectors.mean(0), atol=1e-5)
    assert torch.allclose(measured.root @ measured.root.T, torch.cov(vectors.T), atol=1e-3)


def test_later_attempts_go_further_but_not_beyond_faces() -> None:
    settings = LoopSettings(angle_step_deg=20.0)
    assert [angle_of_attempt(settings, 90.0, n) for n in range(5)] == [90.0, 110.0, 130.0, MAX_ANGLE_DEG, MAX_ANGLE_DEG]
    assert angle_of_attempt(settings, 170.0, 3) == 170.0, "an explicit start is kept"


def test_the_identity_branch_is_a_recognizer() -> None:
    branch = IdentityBranch(tiny_generator())
    image, face = noise(80, 80), face_at(40, 40, 30)
    vectors = branch.embed([image, image], [face.landmarks, face_at(30, 30, 20).landmarks])
    assert vectors.shape == (2, branch.dim)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.array_equal(vectors[:1], branch.embed([image], [face.landmarks]))
    assert branch.threshold(1e-3) == 0.5
    with pytest.raises(ConfigError, match="no measured threshold"):
        branch.threshold(1e-5)
