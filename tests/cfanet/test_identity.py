import math

import numpy as np
import pytest
import torch

from cfanet.config import LoopSettings
from cfanet.errors import ConfigError
from cfanet.hypersphere import angle_rad, normalise
from cfanet.identity import MAX_ANGLE_DEG, Crowd, IdentityBranch, IdentityPolicy, angle_of_attempt, directions, propose
from cfanet.search import References
from cfanet.weights import IdentitySpread
from tests.cfanet.tiny import face_at, noise, spread, tiny_generator

Z = normalise(torch.randn(16, generator=torch.Generator().manual_seed(0)))


POLICY = IdentityPolicy(spread())


def among(people: References, draws: int) -> IdentityPolicy:
    return IdentityPolicy(spread(), crowd=Crowd.of(people, draws))


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("angle", [0.0, 15.0, 90.0, 150.0])
def test_the_angle_is_the_one_asked_for(angle: float) -> None:
    proposed = propose(Z, POLICY, angle, rng())
    assert math.degrees(float(angle_rad(Z.double(), proposed.double()))) == pytest.approx(angle, abs=1e-3)
    assert float(proposed.norm()) == pytest.approx(1.0, abs=1e-6)


def test_other_randomness_gives_other_people_at_the_same_angle() -> None:
    one, two = propose(Z, POLICY, 60.0, rng(0)), propose(Z, POLICY, 60.0, rng(1))
    assert float(angle_rad(one, two)) > 0.2
    assert torch.equal(one, propose(Z, POLICY, 60.0, rng(0)))


def test_directions_come_from_the_spread_of_real_identities() -> None:
    root = torch.zeros(16, 16)
    root[3, 3] = 1.0  # real identities differ along one axis only
    narrow = IdentitySpread(torch.zeros(16), root)
    step = propose(Z, IdentityPolicy(narrow), 90.0, rng())
    axis = torch.zeros(16)
    axis[3] = 1.0
    expected = normalise(axis - Z[3] * Z)
    assert float((step @ expected).abs()) == pytest.approx(1.0, abs=1e-5)


def test_half_of_what_all_people_share_is_left_out_of_a_direction() -> None:
    origin, mean, root = torch.eye(16)[0], torch.eye(16)[1], torch.zeros(16, 16)
    root[2, 2] = 1.0  # they share the second axis and differ along the third
    step = propose(origin, IdentityPolicy(IdentitySpread(mean, root)), 90.0, rng())
    differs = float(torch.randn(16, generator=rng())[2])
    assert float(step[1] / step[2]) == pytest.approx(0.5 / differs, rel=1e-4)


def _people(count: int, seed: int = 1) -> References:
    vectors = normalise(torch.randn(count, 16, generator=rng(seed))).numpy()
    return References(tuple(f"p{n:05}" for n in range(count)), vectors)


def _nearest(vector: torch.Tensor, people: References) -> float:
    return float((torch.from_numpy(people.embeddings) @ vector).max())


def test_with_a_crowd_the_direction_that_leads_furthest_from_everybody_is_taken() -> None:
    people = _people(200)
    drawn = rng()
    all_of_them = [propose(Z, POLICY, 100.0, drawn) for _ in range(8)]
    chosen = propose(Z, among(people, 8), 100.0, rng())
    assert math.degrees(float(angle_rad(Z.double(), chosen.double()))) == pytest.approx(100.0, abs=1e-3)
    assert torch.allclose(chosen, min(all_of_them, key=lambda one: _nearest(one, people)), atol=1e-6)
    assert torch.allclose(propose(Z, among(people, 1), 100.0, rng()), all_of_them[0], atol=1e-6)


def test_a_direction_of_several_angles_is_chosen_once() -> None:
    people = _people(200)
    policy = among(people, 8)
    attempts = list(directions(Z, policy, [60.0, 100.0, 140.0], 2, rng))
    assert [[target.angle_deg for target in one[0]] for one in attempts] == [[60, 100, 140], [100, 140], [140]]
    for n, (targets, second) in enumerate(attempts):
        drawn = rng(n)
        for one in (targets, second):
            assert torch.allclose(one[0].vector, propose(Z, policy, one[0].angle_deg, drawn), atol=1e-6)
        assert not torch.allclose(targets[0].vector, second[0].vector, atol=0.1)
        turned = [angle_rad(targets[0].vector.double(), target.vector.double()) for target in targets]
        expected = [math.radians(target.angle_deg - targets[0].angle_deg) for target in targets]
        assert [float(angle) for angle in turned] == pytest.approx(expected, abs=1e-5)


def test_a_crowd_is_the_same_whatever_the_gallery_s_order_and_never_too_large() -> None:
    people = _people(20_000)
    turned = References(people.ids[::-1], people.embeddings[::-1])
    one, other = Crowd.of(people, 4), Crowd.of(turned, 4)
    assert torch.equal(one.vectors, other.vectors)
    assert 6_000 < len(one.vectors) <= 8_192


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
