"""Traits of real faces, and groups by label."""

import json
from pathlib import Path

import numpy as np
import pytest

from cfanet.errors import InputError
from tests.cfanet.portraits import eileen_collins
from training.evaluation.attributes import ANGLES, evaluate_attributes, mirror_traits, traits, turn_deg
from training.evaluation.bench import Request
from training.evaluation.samples import list_samples

BOX = (174.0, 63.0, 275.0, 198.0)


def test_a_mirrored_face_turns_the_other_way_and_keeps_its_expression() -> None:
    picture = eileen_collins()
    one, two = traits(picture, BOX), mirror_traits(picture, BOX)
    raw = traits(np.ascontiguousarray(picture[:, ::-1]), (512 - BOX[2], BOX[1], 512 - BOX[0], BOX[3]))
    assert raw["side light (L*)"] == -two["side light (L*)"] and raw["yaw, degrees"] == -two["yaw, degrees"]
    assert one["yaw, degrees"] == pytest.approx(two["yaw, degrees"], abs=6)
    assert one["roll, degrees"] == pytest.approx(two["roll, degrees"], abs=3)
    assert one["side light (L*)"] == pytest.approx(two["side light (L*)"], abs=2)
    for name in ("smile (mouth width)", "lightness (L*)"):
        assert one[name] == pytest.approx(two[name], rel=0.15)


def test_an_untouched_picture_keeps_everything_and_groups_add_up(dataset: Path, out: Path) -> None:
    generator = str(dataset / "tiny.safetensors")
    request = Request(dataset, out, (), generator=generator, loops=("off",))
    tables = json.loads(evaluate_attributes(request, ["identity"])[0].read_text())["tables"]
    assert [t["title"].rpartition(", ")[2] for t in tables[1:]] == ["identity = collins", "identity = hopper"]
    n = [next(r for r in t["rows"] if r["trait"] == ANGLES[0])["mean shift"]["n"] for t in tables]
    assert n == [6, 3, 3] and len(list_samples((dataset / "portraits.tar",))) == 6


def test_a_label_that_no_sample_has_is_refused(dataset: Path, out: Path) -> None:
    with pytest.raises(InputError, match="no sample has a label 'age'"):
        evaluate_attributes(Request(dataset, out, (), limit=1), ["age"])


def test_angles_turn_the_short_way() -> None:
    assert turn_deg(179.0, -179.0) == pytest.approx(2.0) and turn_deg(-10.0, 20.0) == pytest.approx(30.0)
