from pathlib import Path

import pytest
import torch

from cfanet.errors import InputError
from tests.training.prepared import write_prepared
from training.config import ScheduleSettings
from training.data import (
    UNKNOWN,
    FaceSet,
    PairSampler,
    augment,
    data_digest,
    load_faces,
    pairs_of_steps,
    soften,
    split_held_out,
)
from training.distributed import Place

SCHEDULE = ScheduleSettings(batch=8, same_share=0.5)


@pytest.fixture
def faces(tmp_path: Path) -> FaceSet:
    write_prepared(tmp_path)
    return load_faces(tmp_path, 32)


def test_loads_every_face_with_its_label(faces: FaceSet) -> None:
    assert len(faces) == 16
    assert faces.pictures.shape == (16, 3, 32, 32)
    assert sorted(faces.identity.tolist()) == [UNKNOWN] * 4 + [0] * 4 + [1] * 4 + [2] * 4


def test_averages_down_to_a_smaller_side(tmp_path: Path, faces: FaceSet) -> None:
    half = load_faces(tmp_path, 16).pictures.float()
    assert torch.allclose(half, torch.nn.functional.avg_pool2d(faces.pictures.float(), 2), atol=0.51)
    with pytest.raises(InputError, match="averaged down"):
        load_faces(tmp_path, 24)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cfanet prepare"):
        load_faces(tmp_path / "none", 32)


def test_people_are_held_out_not_pictures() -> None:
    identity = torch.arange(400) // 4
    faces = FaceSet(torch.zeros(400, 3, 2, 2, dtype=torch.uint8), identity, torch.zeros(400, 4))
    training, held_out = split_held_out(faces)
    assert len(training) + len(held_out) == 400
    assert 20 < len(held_out) < 100
    assert not set(training.identity.tolist()) & set(held_out.identity.tolist())


def test_too_few_people_to_hold_any_out_are_refused(faces: FaceSet) -> None:
    with pytest.raises(InputError, match="3 people with names are too few"):
        split_held_out(faces)


def test_a_step_has_both_kinds_of_pairs(faces: FaceSet) -> None:
    lookup = {tuple(e.tolist()): int(i) for e, i in zip(faces.embedding, faces.identity, strict=True)}
    sampler = PairSampler(faces, SCHEDULE)
    for step in range(20):
        pairs = sampler.step(step)
        assert pairs.same.tolist() == [True] * 4 + [False] * 4
        for a, b, same in zip(pairs.x_embedding, pairs.y_embedding, pairs.same.tolist(), strict=True):
            one, two = lookup[tuple(a.tolist())], lookup[tuple(b.tolist())]
            assert not torch.equal(a, b), "two pictures, not one twice"
            assert (one == two != UNKNOWN) if same else (one != two or one == UNKNOWN)


def test_a_step_is_a_function_of_its_number(faces: FaceSet) -> None:
    one, two = PairSampler(faces, SCHEDULE), PairSampler(faces, SCHEDULE)
    for step in (5, 2):
        assert torch.equal(one.step(step).x, two.step(step).x)
        assert torch.equal(one.step(step).y, one.step(step).y)
    assert not torch.equal(one.step(0).x, one.step(1).x)
    assert not torch.equal(one.step(0).x, PairSampler(faces, SCHEDULE.model_copy(update={"seed": 1})).step(0).x)


def test_same_identity_pairs_need_an_identity_with_two_pictures(faces: FaceSet) -> None:
    with pytest.raises(InputError, match="two pictures"):
        PairSampler(faces.subset(faces.identity == UNKNOWN), SCHEDULE)


def test_augmentation_keeps_shape_and_range_and_changes_pictures() -> None:
    x = torch.rand(8, 3, 32, 32) * 2 - 1
    y = augment(x, torch.Generator().manual_seed(0))
    assert y.shape == x.shape
    assert float(y.abs().max()) <= 1.0
    assert all(not torch.equal(a, b) for a, b in zip(x, y, strict=True))


def test_a_share_of_the_sources_is_soft_and_nothing_else_changes(faces: FaceSet) -> None:
    sharp = PairSampler(faces, SCHEDULE).step(3)
    soft = PairSampler(faces, SCHEDULE.model_copy(update={"soft_share": 1.0})).step(3)
    steps = [(pairs.x[..., 1:] - pairs.x[..., :-1]).abs().mean((1, 2, 3)) for pairs in (sharp, soft)]
    assert (steps[1] < steps[0]).all()
    assert torch.equal(sharp.y_clean, soft.y_clean)
    assert torch.equal(sharp.x_embedding, soft.x_embedding)


def test_a_picture_that_is_not_chosen_stays_as_it_is() -> None:
    pictures = torch.rand(200, 3, 8, 8)
    same = (soften(pictures, 0.5, torch.Generator().manual_seed(1)) == pictures).flatten(1).all(1)
    assert 70 < int(same.sum()) < 130


def test_the_share_of_labelled_faces_is_as_set(faces: FaceSet) -> None:
    every = SCHEDULE.model_copy(update={"labelled_share": 1.0, "same_share": 0.25})
    unlabelled = {tuple(e.tolist()) for e in faces.embedding[faces.identity == UNKNOWN]}
    assert unlabelled
    for step in range(10):
        pairs = PairSampler(faces, every).step(step)
        assert pairs.same.tolist() == [True] * 2 + [False] * 6
        assert not unlabelled & {tuple(e.tolist()) for e in torch.cat([pairs.x_embedding, pairs.y_embedding])}


def test_processes_share_a_batch_without_overlap(faces: FaceSet) -> None:
    whole = PairSampler(faces, SCHEDULE).step(3)
    parts = [whole.rows(Place(rank, 2)) for rank in range(2)]
    assert all(part.same.tolist() == [True] * 2 + [False] * 2 for part in parts)
    woven = torch.stack([part.x for part in parts], dim=1).flatten(0, 1)
    assert torch.equal(woven, whole.x)


def test_the_data_digest_sees_one_byte(tmp_path: Path, faces: FaceSet) -> None:
    before = data_digest(tmp_path)
    shard = next(tmp_path.glob("*.tar"))
    data = bytearray(shard.read_bytes())
    data[600] ^= 1
    shard.write_bytes(data)
    assert data_digest(tmp_path) != before


def test_a_share_of_the_other_pairs_asks_for_a_virtual_identity(faces: FaceSet) -> None:
    some = SCHEDULE.model_copy(update={"virtual_share": 0.5, "virtual_from_deg": 30.0, "virtual_to_deg": 60.0})
    steps = [PairSampler(faces, some).step(step) for step in range(30)]
    same, theta = torch.cat([p.same for p in steps]), torch.cat([p.theta_rad for p in steps])
    turn = torch.cat([p.turn for p in steps])
    assert not theta[same].any(), "pairs of one person are as they are"
    virtual = theta > 0
    assert 0.3 < float(virtual[~same].float().mean()) < 0.7
    assert float(theta[virtual].min()) >= torch.pi / 6
    assert float(theta[virtual].max()) <= torch.pi / 3
    assert torch.equal(turn.abs().sum(1) > 0, virtual)
    assert torch.equal(steps[3].turn, PairSampler(faces, some).step(3).turn)
    assert not PairSampler(faces, SCHEDULE).step(0).theta_rad.any(), "off unless it is asked for"


def test_processes_that_draw_ahead_change_nothing(faces: FaceSet) -> None:
    sampler = PairSampler(faces, SCHEDULE)
    alone, ahead = (list(pairs_of_steps(sampler, 3, 8, workers)) for workers in (0, 2))
    assert len(alone) == len(ahead) == 5
    for step, one, two in zip(range(3, 8), alone, ahead, strict=True):
        assert torch.equal(one.x, sampler.step(step).x)
        assert torch.equal(one.x, two.x)
        assert torch.equal(one.y, two.y)
    assert list(pairs_of_steps(sampler, 8, 8)) == []
