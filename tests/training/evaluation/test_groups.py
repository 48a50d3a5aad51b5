"""Behaviour by groups: every face is in one group of each kind, and the numbers of the groups add up."""

import json
from pathlib import Path

import numpy as np
import pytest

from cfanet.errors import InputError
from cfanet.images import Picture, encode
from tests.cfanet.tiny import face_at
from tests.training.evaluation.shards import portrait_entries, write_shard
from training.evaluation.bench import Request
from training.evaluation.groups import SIZE, SKIN, evaluate_groups, label_groups, spread, tone_of
from training.evaluation.samples import Photo, Sample, list_samples

GENERATOR = "tiny.safetensors"


def labelled(field: str, values: list[str]) -> list[Sample]:
    return [Sample(str(n), Path("0.tar"), 0, 0, {field: value} if value else {}) for n, value in enumerate(values)]


def plain_photo(colour: tuple[int, int, int]) -> Photo:
    return Photo(encode(Picture(np.full((100, 100, 3), colour, np.uint8), "PNG"), 95))


def test_groups_add_up_to_all(dataset: Path, out: Path) -> None:
    request = Request(dataset, out, ("dlib",), generator=str(dataset / GENERATOR), loops=("off",))
    tables = json.loads(evaluate_groups(request, ["identity"])[0].read_text())["tables"]
    assert [table["title"].partition(", by ")[2] for table in tables] == [SKIN, SIZE, "identity"]
    for table in tables:
        what = table["title"].partition(", by ")[2]
        all_faces, *groups = table["rows"]
        assert groups and all_faces[what] == "all" and all_faces["faces"] == "6"
        assert sum(int(group["faces"]) for group in groups) == 6
        assert sum(group["replaced"]["hits"] for group in groups) == all_faces["replaced"]["hits"] == 6
        assert sum(group["matched, dlib"]["hits"] for group in groups) == all_faces["matched, dlib"]["hits"]
        assert 0.0 < all_faces["SSIM"]["value"] < 1.0 and all_faces["still found"]["n"] == 6
    assert [row["identity"] for row in tables[2]["rows"]] == ["all", "collins", "hopper"]
    pairs = [row["false matches of originals, dlib"] for row in tables[2]["rows"]]
    assert pairs[0]["n"] == 9, "three pictures of one person against three of the other"
    assert pairs[1]["reason"] == "no two people with names"


def test_an_obscured_face_counts_as_not_replaced(dataset: Path, out: Path) -> None:
    request = Request(dataset, out, ("dlib",), limit=2, generator=str(dataset / GENERATOR), method="mask")
    table = json.loads(evaluate_groups(request, [])[0].read_text())["tables"][0]
    assert table["rows"][0]["replaced"]["hits"] == 0 and table["rows"][0]["matched, dlib"]["n"] == 0


def test_a_limit_takes_pictures_from_everywhere(tmp_path: Path) -> None:
    samples = list_samples((write_shard(tmp_path / "0.tar", portrait_entries()),))
    assert [sample.key for sample in spread(samples, 3)] == ["hopper_0", "hopper_2", "collins_1"]
    assert spread(samples, None) == spread(samples, 99) == samples


def test_words_are_groups_and_many_numbers_are_quarters() -> None:
    assert label_groups("gender", labelled("gender", ["f", "m", ""])) == {"0": "f", "1": "m", "2": "unknown"}
    ages = label_groups("age", labelled("age", [str(age) for age in range(1, 101)] + [""]))
    assert ages["0"] == "below 25.75" and ages["99"] == "75.25 or more" and ages["100"] == "unknown"
    assert sorted(map(list(ages.values()).count, set(ages.values()))) == [1, 25, 25, 25, 25]
    with pytest.raises(InputError, match=r"no sample has a label 'age': the samples' .json have gender"):
        label_groups("age", labelled("gender", ["f"]))


def test_skin_tones_have_the_names_of_their_angles() -> None:
    face = face_at(50, 50, 40).landmarks
    assert tone_of(plain_photo((60, 40, 30)), face) == "dark (to -30°)"
    assert tone_of(plain_photo((245, 225, 210)), face) == "very light (above 55°)"
    assert tone_of(plain_photo((190, 150, 120)), face).startswith(("tan", "intermediate"))
    assert tone_of(plain_photo((60, 40, 30)), face + 500).startswith("unknown")
