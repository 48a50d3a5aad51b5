"""Donors of a dataset: one aligned face a person, at the place the generator's crops have theirs."""

from pathlib import Path

import pytest
import torch

from cfanet.align import crop_points
from cfanet.donors import load_donors
from cfanet.errors import InputError
from cfanet.images import Picture, encode
from tests.cfanet.portraits import no_face
from tests.training.evaluation.shards import write_shard
from training.evaluation.bench import Request
from training.evaluation.donor_file import write_donors


def test_there_is_one_donor_a_person(dataset: Path, out: Path, tmp_path: Path) -> None:
    assert write_donors(Request(dataset, out, (), method="mask"), tmp_path / "d.safetensors") == 2
    donors = load_donors(tmp_path / "d.safetensors", 2)
    assert donors.crops.shape == (2, 3, 128, 128)
    assert torch.allclose(donors.points, torch.from_numpy(crop_points(128)), atol=12)


def test_pictures_without_people_give_no_file(tmp_path: Path) -> None:
    write_shard(tmp_path / "coffee.tar", [("coffee", encode(Picture(no_face(), "JPEG"), 95), None)])
    with pytest.raises(InputError, match="no clear face"):
        write_donors(Request(tmp_path, tmp_path, (), method="mask"), tmp_path / "d.safetensors")
