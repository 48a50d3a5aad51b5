"""Samples of shards: names first, bytes later, and the same bytes."""

import io
import json
import tarfile
from pathlib import Path

import pytest
from webdataset import WebDataset

from cfanet.errors import InputError
from tests.training.evaluation.shards import write_shard
from training.evaluation.samples import list_samples, list_shards, shards_digest


def test_bytes_and_labels_are_those_that_webdataset_reads(tmp_path: Path) -> None:
    write_shard(tmp_path / "0.tar", [("a", b"first", {"identity": "x", "age": 3}), ("b", b"second!", None)])
    samples = list_samples(list_shards(tmp_path))
    expected = [(s["__key__"], s["jpg"]) for s in WebDataset(str(tmp_path / "0.tar"), shardshuffle=False)]
    assert [(s.key, s.photo().data) for s in samples] == expected == [("a", b"first"), ("b", b"second!")]
    assert samples[0].identity == "x" and samples[0].labels["age"] == "3" and samples[1].identity == ""


def test_a_source_is_a_folder_a_shard_or_a_pattern(tmp_path: Path) -> None:
    for name in ("a-0.tar", "a-1.tar", "b-0.tar"):
        write_shard(tmp_path / name, [(name, b"x", None)])
    assert [p.name for p in list_shards(tmp_path)] == ["a-0.tar", "a-1.tar", "b-0.tar"]
    assert [p.name for p in list_shards(tmp_path / "a-*.tar")] == ["a-0.tar", "a-1.tar"]
    assert [p.name for p in list_shards(tmp_path / "b-0.tar")] == ["b-0.tar"]
    with pytest.raises(InputError, match=r"holds no \.tar shards"):
        list_shards(tmp_path / "c-*.tar")


def test_a_repeated_key_and_a_broken_shard_are_refused(tmp_path: Path) -> None:
    write_shard(tmp_path / "0.tar", [("a", b"1", None)])
    write_shard(tmp_path / "1.tar", [("a", b"2", None)])
    with pytest.raises(InputError, match="'a' appears a second time"):
        list_samples(list_shards(tmp_path))
    (tmp_path / "1.tar").write_bytes(b"no tar" * 200)
    with pytest.raises(InputError, match="not a readable WebDataset shard"):
        list_samples(list_shards(tmp_path))


def test_a_shard_without_pictures_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "0.tar", "w") as tar:
        member = tarfile.TarInfo("a.json")
        data = json.dumps({}).encode()
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
    with pytest.raises(InputError, match="holds no pictures"):
        list_samples(list_shards(tmp_path))


def test_the_digest_follows_the_content(tmp_path: Path) -> None:
    write_shard(tmp_path / "0.tar", [("a", b"1", None)])
    before = shards_digest(list_shards(tmp_path))
    write_shard(tmp_path / "0.tar", [("a", b"2", None)])
    assert shards_digest(list_shards(tmp_path)) != before
