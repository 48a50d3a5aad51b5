import io
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from audit.duplicates import Originals, read_fingerprints
from audit.enrol import Enroller, Original, Pseudonyms
from audit.gallery import ShardStamp, read_shard, write_shard
from audit.records import EnrolledPicture
from cfanet.records import ImageArray
from tests.audit.fakes import FakeDetector, FakeRecognizer
from tests.cfanet.portraits import eileen_collins, grace_hopper

HOPPER = grace_hopper()[60:380, 90:410]
BOX = (80.0, 60.0, 210.0, 240.0)


def originals_of(gallery: Path) -> Originals:
    return Originals(read_fingerprints(gallery), partial(read_shard, gallery), 0.8)


@pytest.fixture
def originals(tmp_path: Path) -> Originals:
    enroller = Enroller(FakeDetector(BOX), {"fake": FakeRecognizer()}, Pseudonyms(b"0123456789abcdef"))
    pictures = [Original("hopper", "0" * 64, HOPPER), Original("collins", "1" * 64, eileen_collins()[:320, :320])]
    write_shard(tmp_path, "s", enroller.enrol(pictures), ShardStamp("", ""))
    return originals_of(tmp_path)


def _copy(scale: float, quality: int, brightness: float = 1.0) -> ImageArray:
    side = round(320 * scale)
    image = Image.fromarray((HOPPER * brightness).clip(0, 255).astype(np.uint8)).resize((side, side))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


@pytest.mark.parametrize("copy", [_copy(1, 60), _copy(0.5, 75), _copy(0.2, 80), _copy(1, 90, 0.7), _copy(1.7, 95)])
def test_raw_copies_of_any_size_and_quality_are_found(originals: Originals, copy: ImageArray) -> None:
    assert [found.reference_id for found in originals.find(copy)] == ["hopper#0"]


def test_a_copy_is_found_among_hundreds_that_look_alike(originals: Originals, tmp_path: Path) -> None:
    """The nearest by hash are looked at, and no more: a film would take a square of its length."""
    hopper = read_shard(tmp_path, "s")[0]
    looked: list[str] = []

    def read(name: str) -> list[EnrolledPicture]:
        looked.append(name)
        return [replace(hopper, sample_key="hopper" if name == "s" else name)]

    alike = [(f"film{n}", f"film{n}", hopper.fingerprint ^ 0b1111) for n in range(500)]
    found = Originals([*alike, ("s", "hopper", hopper.fingerprint)], read, 0.8).find(HOPPER)
    assert "hopper#0" in [duplicate.reference_id for duplicate in found] and len(looked) == 64


def test_a_face_too_small_in_the_original_is_not_told_apart(tmp_path: Path) -> None:
    enroller = Enroller(FakeDetector((28.0, 107.0, 45.0, 128.0)), {"fake": FakeRecognizer()}, Pseudonyms(b"0" * 16))
    small = np.asarray(Image.fromarray(HOPPER).resize((140, 140)))
    write_shard(tmp_path, "s", enroller.enrol([Original("small", "0" * 64, small)]), ShardStamp("", ""))
    assert originals_of(tmp_path).find(HOPPER) == []


def test_a_twin_of_its_own_original_is_as_its_own_original_is(tmp_path: Path) -> None:
    """A new face in the same place keeps light and pose. What tells it from a copy is the limit for its own place."""
    enroller = Enroller(FakeDetector(BOX), {"fake": FakeRecognizer()}, Pseudonyms(b"0123456789abcdef"))
    stranger = eileen_collins()[:320, :320]
    pictures = {"hopper": HOPPER, "again": _copy(1, 90), "collins": stranger}
    found = enroller.enrol([Original(key, "0" * 64, pixels) for key, pixels in pictures.items()])
    write_shard(tmp_path, "s", found, ShardStamp("", ""))
    originals = originals_of(tmp_path)
    face = np.asarray(Image.fromarray(stranger[30:210, 170:300]).resize((130, 180)), np.float64)
    alike = HOPPER.copy()
    alike[60:240, 80:210] = (0.65 * HOPPER[60:240, 80:210] + 0.35 * face).astype(np.uint8)
    correlations = {one.reference_id: one.correlation for one in originals.find(alike, "collins")}
    assert correlations.keys() == {"hopper#0", "again#0"}, "shown as another picture, it is a copy"
    assert all(0.8 <= value < 0.92 for value in correlations.values()), correlations
    assert originals.find(alike, "hopper") == originals.find(alike, "again") == []
    assert [one.reference_id for one in originals.find(HOPPER, "again")] == ["hopper#0"], "an untouched twin is found"


def test_its_own_place_another_face_and_another_picture_are_none(originals: Originals) -> None:
    assert originals.find(HOPPER, "hopper") == []
    changed = HOPPER.copy()
    face = Image.fromarray(eileen_collins()[30:210, 170:300]).resize((130, 180))
    changed[60:240, 80:210] = np.asarray(face)
    assert originals.find(changed) == []
    assert originals.find(np.full((200, 300, 3), 90, np.uint8)) == []
