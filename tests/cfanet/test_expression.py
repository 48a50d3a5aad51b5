import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from cfanet.anonymizer import Anonymizer, Parts
from cfanet.config import AnonymizeSettings
from cfanet.expression import KeptExpression
from cfanet.hypersphere import angle_rad, normalise, rotate, tangent
from cfanet.identity import IdentityBranch, IdentityPolicy, propose
from cfanet.seeds import SeedKey
from tests.cfanet.tiny import FakeDetector, face_at, noise, spread, tiny_generator

Z = normalise(torch.randn(16, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
SLOPES = {
    name: torch.randn(16, generator=torch.Generator().manual_seed(seed)) * scale
    for name, seed, scale in (("eyes", 1, 0.02), ("smile", 2, 0.3))
}


def kept(**shares: float) -> KeptExpression:
    found = KeptExpression.of(SLOPES, shares)
    assert found is not None
    return found


def drawn(count: int) -> Tensor:
    return tangent(Z, torch.randn(count, 16, generator=torch.Generator().manual_seed(3), dtype=torch.float64))


def foretold(name: str, towards: Tensor, angle: float) -> Tensor:
    return (rotate(Z, towards, angle) - Z) @ SLOPES[name].double()


@pytest.mark.parametrize("angle_deg", [30.0, 96.0, 140.0])
def test_what_slopes_foretell_becomes_the_share_that_is_let(angle_deg: float) -> None:
    angle, towards = math.radians(angle_deg), drawn(6)
    turned = kept(eyes=1.0, smile=0.5).turn(Z, towards, angle)
    assert torch.allclose(turned.norm(dim=1), torch.ones(6, dtype=torch.float64))
    assert torch.allclose(turned @ Z, torch.zeros(6, dtype=torch.float64), atol=1e-9)
    before = {name: foretold(name, towards, angle) for name in SLOPES}
    if angle_deg < 100.0:  # further out, the old face's own part is more than a direction can make up for
        assert torch.allclose(foretold("eyes", turned, angle), torch.zeros(6, dtype=torch.float64), atol=1e-9)
        assert torch.allclose(foretold("smile", turned, angle), 0.5 * before["smile"])
        assert float((turned * towards).sum(1).min()) > 0.5, "of the draw, most is kept"
    else:
        assert float(foretold("eyes", turned, angle).abs().mean()) < float(before["eyes"].abs().mean())


def test_where_an_angle_asks_for_more_than_a_direction_can_give_the_draw_still_decides() -> None:
    slopes = {"eyes": Z.float() + 0.05 * SLOPES["smile"]}  # nearly along the old identity: leaving it changes the eyes
    found = KeptExpression.of(slopes, {"eyes": 1.0})
    assert found is not None
    turned = found.turn(Z, drawn(4), math.radians(120.0))
    assert torch.allclose(turned.norm(dim=1), torch.ones(4, dtype=torch.float64))
    apart = torch.pdist(turned)
    assert float(apart.min()) > 0.1


def test_nothing_is_turned_where_there_is_no_way_to_go_or_nothing_to_keep() -> None:
    assert torch.equal(kept(eyes=1.0).turn(Z, drawn(2), 0.0), drawn(2))
    assert KeptExpression.of(SLOPES, {"eyes": 0.0, "smile": 0.0}) is None
    assert KeptExpression.of({}, {"eyes": 1.0}) is None
    assert len(kept(smile=1.0).slopes) == 1


def test_the_settings_say_how_much_is_kept_and_the_angle_stays() -> None:
    generator = replace(tiny_generator(), slopes=SLOPES)
    assert IdentityPolicy.of(tiny_generator(), AnonymizeSettings()).kept is None
    assert IdentityPolicy.of(generator, AnonymizeSettings(keep_eyes=0.0, keep_smile=0.0)).kept is None
    policy = IdentityPolicy.of(generator, AnonymizeSettings(keep_eyes=1.0, keep_smile=0.0))
    free, held = (
        propose(Z.float(), one, 96.0, torch.Generator().manual_seed(7)).double()
        for one in (IdentityPolicy(spread()), policy)
    )
    assert math.degrees(float(angle_rad(Z, held))) == pytest.approx(96.0, abs=1e-3)
    eyes = SLOPES["eyes"].double()
    assert float(eyes @ (held - Z)) == pytest.approx(0.0, abs=1e-8)
    assert abs(float(eyes @ (free - Z))) > 1e-3


def test_new_faces_of_pictures_and_of_films_go_by_the_generator_s_slopes() -> None:
    generator, face, image = replace(tiny_generator(), slopes=SLOPES), face_at(60, 60, 40), noise(120, 120)
    branch = IdentityBranch(generator)

    def build(keep_eyes: float) -> Anonymizer:
        settings = AnonymizeSettings.model_validate(
            {"keep_eyes": keep_eyes, "keep_smile": 0.0, "loop": {"threshold": 2.0, "max_structure": 1.0}}
        )
        parts = Parts(
            settings, SeedKey(b"expressions are kept"), FakeDetector([face]), generator, {branch.name: branch}, {}
        )
        return Anonymizer(parts)

    kept, left = build(1.0), build(0.0)
    z_id = branch.embed([image], [face.landmarks])[0].astype(np.float64)
    eyes = SLOPES["eyes"].double().numpy()

    def change(anonymizer: Anonymizer) -> float:
        chosen = anonymizer.choose([image], [face], "film", 0)
        return abs(float(eyes @ (chosen.targets[0].vector.double().numpy() - z_id)))

    assert change(kept) < 1e-6 < 1e-3 < change(left)
    pictures = [anonymizer.run([image], ["a"])[0].image for anonymizer in (kept, left)]
    assert not np.array_equal(pictures[0], pictures[1])
