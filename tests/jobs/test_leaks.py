"""Planted leaks in the files themselves: each is found, and clean files are not accused."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from audit.enrol import Enroller, Original, Pseudonyms
from audit.gallery import ShardStamp, write_shard
from audit.names import name_hashes
from cfanet.obscure import ObscureKind, obscure
from jobs.config import ReleaseConfig
from jobs.leaks import LeakScanner
from jobs.storage import LocalStorage, write_bytes
from tests.audit.fakes import FakeDetector, FakeRecognizer
from tests.cfanet.portraits import grace_hopper
from tests.jobs.fakes import write_tar

HOPPER = grace_hopper()[60:380, 90:410]


def jpeg(side: int = 320, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(HOPPER).resize((side, side)).save(buffer, "JPEG", quality=85, **options)
    return buffer.getvalue()


@pytest.fixture
def config(make_config: Callable[..., ReleaseConfig]) -> ReleaseConfig:
    """A gallery of one labelled person."""
    config = make_config()
    pseudonyms = Pseudonyms.of_gallery(Path(config.gallery_uri))
    enroller = Enroller(FakeDetector((80.0, 60.0, 210.0, 240.0)), {"fake": FakeRecognizer()}, pseudonyms)
    pictures = enroller.enrol([Original("hopper", "0" * 64, HOPPER, "Grace Hopper")])
    write_shard(Path(config.gallery_uri), "s", pictures, ShardStamp("", ""), name_hashes("Grace Hopper", pseudonyms))
    return config


@pytest.fixture
def scanner(config: ReleaseConfig) -> LeakScanner:
    return LeakScanner(config)


def test_a_name_in_a_file_name_and_in_a_sidecar(scanner: LeakScanner) -> None:
    (found,) = scanner.member("train/Grace_Hopper_0001.txt", b"a portrait")
    assert (found.kind, found.place) == ("name", "train/Grace_Hopper_0001.txt")
    (found,) = scanner.member("0001.json", b'{"caption": "Rear Admiral Grace Hopper"}')
    assert (found.kind, found.detail) == ("name", "the content holds the name of an enrolled person")


def test_a_raw_copy_under_any_name(scanner: LeakScanner) -> None:
    for name in ("copy.jpg", "thumbs/1.dat"):
        (found,) = scanner.member(name, jpeg(100))
        assert (found.kind, found.place) == ("near_duplicate", name) and found.detail.endswith("hopper#0")


def test_a_face_left_in_its_own_picture_whatever_was_done_to_the_file(scanner: LeakScanner) -> None:
    """Encoded again and brighter, its pixels have all changed: only their structure says that it was never replaced."""
    brighter = Image.fromarray(np.clip(HOPPER.astype(np.int16) + 9, 0, 255).astype(np.uint8))
    buffer = io.BytesIO()
    brighter.save(buffer, "JPEG", quality=60)
    for data in (jpeg(), buffer.getvalue()):
        (found,) = scanner.member("hopper.jpg", data, own_key="hopper")
        assert (found.kind, found.detail) == ("near_duplicate", "still shows the untouched face of hopper#0")
    for kind in get_args(ObscureKind):
        buffer = io.BytesIO()
        Image.fromarray(obscure(HOPPER, (80.0, 60.0, 210.0, 240.0), kind)).save(buffer, "JPEG")
        assert not list(scanner.member("hopper.jpg", buffer.getvalue(), own_key="hopper")), kind


def test_a_thumbnail_of_the_original_inside_another_picture(scanner: LeakScanner) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (90, 120, 90)).save(buffer, "JPEG", exif=b"Exif\0\0" + b"\0" * 32 + jpeg(120))
    (found,) = scanner.member("1.jpg", buffer.getvalue(), own_key="1")
    assert found.kind == "near_duplicate" and "embedded picture" in found.detail


def test_stray_files_and_what_they_hold(scanner: LeakScanner, config: ReleaseConfig) -> None:
    destination = LocalStorage(Path(config.destination.uri))
    for known in ("RELEASE.json", "_cfanet/report.html", "_cfanet/ledger/s.parquet"):
        write_bytes(destination, known, b"{}")
    assert scanner.strays(destination, [], "RELEASE.json") == []
    write_bytes(destination, "_cfanet/cache/crop.jpg", jpeg(120))
    write_tar(destination.root / "extra.tar", [("a.jpg", jpeg(90))])
    found = scanner.strays(destination, [], "RELEASE.json")
    assert [(f.kind, f.place) for f in found] == [
        ("stray", "extra.tar"),
        ("near_duplicate", "extra.tar/a.jpg"),
        ("stray", "_cfanet/cache/crop.jpg"),
        ("near_duplicate", "_cfanet/cache/crop.jpg"),
    ]


def test_clean_files_are_not_accused(scanner: LeakScanner) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (320, 320), (90, 120, 90)).save(buffer, "JPEG")
    for name, data in (("0001.jpg", buffer.getvalue()), ("0001.txt", b"a portrait of grace"), ("x.bin", bytes(99))):
        assert not list(scanner.member(name, data))
