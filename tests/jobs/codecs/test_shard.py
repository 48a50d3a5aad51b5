"""Samples, their pictures, and names that may not be used."""

import pytest

from jobs.codecs.shard import Member, Sample, is_picture_extension, printable, unsafe_name


def _sample(*extensions: str) -> Sample:
    return Sample("key", tuple(Member(f"key.{e}", e, 0o644, 0.0, b"") for e in extensions))


def test_a_single_picture_is_named_by_the_key_and_several_by_their_files() -> None:
    single, several = _sample("jpg", "json"), _sample("jpg", "seg.png", "json")
    assert [single.picture_id(m) for m in single.pictures] == ["key"]
    assert [several.picture_id(m) for m in several.pictures] == ["key.jpg", "key.seg.png"]


def test_pictures_are_told_by_the_last_part_of_the_extension() -> None:
    assert all(is_picture_extension(e) for e in ("jpg", "jpeg", "seg.png", "webp", "gif", "heic"))
    assert not any(is_picture_extension(e) for e in ("json", "jpg.json", "txt", ""))


@pytest.mark.parametrize("name", ["a.jpg", "./a.jpg", "a/b c/ü.jpg", "a..b.jpg", "..a.jpg"])
def test_ordinary_names_are_safe(name: str) -> None:
    assert unsafe_name(name) == ""


@pytest.mark.parametrize("name", ["/a", "..", "a/../b", "C:/a", "\\a", "a\udcff"])
def test_other_names_are_not(name: str) -> None:
    assert unsafe_name(name)
    printable(name).encode("utf-8")
