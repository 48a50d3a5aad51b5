"""Decoding a sample's pictures, its label, and files that hide a picture."""

import hashlib

import pytest

from jobs.codecs.shard import Member, Sample
from jobs.pictures import looks_like_picture, source_pictures, subject_label
from tests.jobs.fakes import encoded


def _sample(**members: bytes) -> Sample:
    return Sample("k", tuple(Member(f"k.{e}", e, 0o644, 0.0, data) for e, data in members.items()))


def test_pictures_are_decoded_or_carry_a_reason() -> None:
    good, bad = source_pictures(_sample(png=encoded([3]), jpg=b"rubbish", json=b"{}"), 64.0)
    assert good.picture is not None and good.picture.format == "PNG"
    assert good.sha256 == hashlib.sha256(encoded([3])).hexdigest()
    assert bad.picture is None and bad.reason == "undecodable" and bad.detail


@pytest.mark.parametrize(
    ("data", "label"),
    [
        (b'{"identity": "Ada"}', "Ada"),
        (b'{"identity": 7}', "7"),
        (b'{"identity": true}', ""),
        (b'{"identity": ["a", "b"]}', ""),
        (b'{"name": "Ada"}', ""),
        (b"[1]", ""),
        (b"not json", ""),
        (b"[" * 100_000, ""),
        (b"", ""),
    ],
)
def test_labels_are_strings_or_numbers(data: bytes, label: str) -> None:
    assert subject_label(_sample(jpg=b"", json=data), "identity") == label


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"])
def test_pictures_are_recognised_by_content(format: str) -> None:
    assert looks_like_picture(encoded([1], format))


def test_text_is_no_picture() -> None:
    assert not any(looks_like_picture(data) for data in (b"", b'{"a": 1}', b"one,two\n", b"RIFF1234WAVE"))
