"""Tar shards: what is read comes back in order, and damage is a record, never an exception."""

import io
import tarfile
from pathlib import Path

import pytest

from jobs.codecs.shard import Refusal, Sample, WorkItem
from jobs.codecs.webdataset import TAIL_KEY, WebDatasetCodec, split_name
from jobs.storage import Entry, LocalStorage
from tests.jobs.fakes import read_tar, write_tar


def _item(name: str = "s.tar") -> WorkItem:
    return WorkItem("s", "webdataset", (Entry(name, 0, ""),), "")


def _read(root: Path, wanted: bool = True) -> tuple[list[Sample], list[Refusal]]:
    found = list(WebDatasetCodec().read(LocalStorage(root), _item(), lambda extension: wanted))
    return [f for f in found if isinstance(f, Sample)], [f for f in found if isinstance(f, Refusal)]


def _header(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.type, header.linkname = kind, target
    return header


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("000.jpg", ("000", "jpg")),
        ("a/b.Seg.PNG", ("a/b", "seg.png")),
        ("./x.jpg", ("./x", "jpg")),
        ("v1.0/x.jpg", ("v1.0/x", "jpg")),
        ("a b ü.jpeg", ("a b ü", "jpeg")),
        ("README", None),
        ("d/._x.jpg", None),
        (".jpg", None),
    ],
)
def test_names_split_as_webdataset_does(name: str, expected: tuple[str, str] | None) -> None:
    assert split_name(name) == expected


def test_round_trip_keeps_names_order_modes_and_times(tmp_path: Path) -> None:
    long = "d/" * 60 + "long.jpg"
    names = ["b.jpg", "b.json", "a b.JPG", "ü/ñ.seg.png", long]
    write_tar(tmp_path / "in/s.tar", [(name, name.encode()) for name in names], mtime=1_600_000_000.5)
    codec, out = WebDatasetCodec(), LocalStorage(tmp_path / "out")
    with codec.writer(out, _item(), out) as writer:
        for sample in codec.read(LocalStorage(tmp_path / "in"), _item(), lambda extension: True):
            assert isinstance(sample, Sample)
            writer.write(sample.members)
    assert list(read_tar(tmp_path / "out/s.tar").items()) == [(name, name.encode()) for name in names]
    with tarfile.open(tmp_path / "out/s.tar") as archive:
        assert {(member.mode, member.mtime) for member in archive} == {(0o640, 1_600_000_000.5)}
    assert writer.outputs()[0].size == (tmp_path / "out/s.tar").stat().st_size


def test_writing_is_deterministic_and_leaves_out_owners(tmp_path: Path) -> None:
    write_tar(tmp_path / "s.tar", [("a.jpg", b"1")])
    (sample,), _ = _read(tmp_path)
    for folder in ("one", "two"):
        with WebDatasetCodec().writer(LocalStorage(tmp_path / folder), _item(), LocalStorage(tmp_path)) as writer:
            writer.write(sample.members)
    assert (tmp_path / "one/s.tar").read_bytes() == (tmp_path / "two/s.tar").read_bytes()
    with tarfile.open(tmp_path / "one/s.tar") as archive:
        assert [(member.uid, member.gid, member.uname) for member in archive] == [(0, 0, "")]


def test_an_error_publishes_nothing(tmp_path: Path) -> None:
    write_tar(tmp_path / "s.tar", [("a.jpg", b"1")])
    (sample,), _ = _read(tmp_path)
    with (
        pytest.raises(RuntimeError),
        WebDatasetCodec().writer(LocalStorage(tmp_path / "out"), _item(), LocalStorage(tmp_path)) as writer,
    ):
        writer.write(sample.members)
        raise RuntimeError
    assert not (tmp_path / "out/s.tar").exists()


def test_members_that_are_not_wanted_are_not_read(tmp_path: Path) -> None:
    write_tar(tmp_path / "s.tar", [("a.jpg", b"1"), ("a.npy", b"2" * 1000)])
    found = list(WebDatasetCodec().read(LocalStorage(tmp_path), _item(), lambda extension: extension == "jpg"))
    assert isinstance(found[0], Sample)
    assert [(member.name, member.data) for member in found[0].members] == [("a.jpg", b"1"), ("a.npy", None)]


def test_duplicates_are_refused_under_an_id_of_their_own(tmp_path: Path) -> None:
    names = ["a.jpg", "a.jpg", "b.jpg", "a.jpg", "a.json"]
    write_tar(tmp_path / "s.tar", [(name, str(i).encode()) for i, name in enumerate(names)])
    samples, refusals = _read(tmp_path)
    assert [(s.key, s.members[0].data) for s in samples] == [("a", b"0"), ("b", b"2")]
    assert [(r.id, r.key, r.reason) for r in refusals] == [
        ("a@2", "a", "duplicate_key"),
        ("a@3", "a", "duplicate_key"),
    ]


@pytest.mark.parametrize("name", ["../x.jpg", "a/../../x.jpg", "/etc/x.jpg", "a\\..\\..\\x.jpg"])
def test_names_that_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    write_tar(tmp_path / "s.tar", [(name, b"1"), ("good.jpg", b"2")])
    samples, refusals = _read(tmp_path)
    assert [s.key for s in samples] == ["good"]
    assert [r.reason for r in refusals] == ["unsafe_name"]


def test_links_and_devices_withhold_their_sample(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "s.tar", "w") as archive:
        archive.addfile(_header("folder", tarfile.DIRTYPE))
        archive.addfile(_header("a.jpg"), io.BytesIO())
        archive.addfile(_header("a.png", tarfile.SYMTYPE, "/etc/passwd"))
        archive.addfile(_header("b.jpg", tarfile.LNKTYPE, "a.jpg"))
        archive.addfile(_header("c.jpg", tarfile.CHRTYPE))
        archive.addfile(_header("d.jpg"), io.BytesIO())
    samples, refusals = _read(tmp_path)
    assert [s.key for s in samples] == ["d"]
    assert [(r.key, r.reason) for r in refusals] == [(key, "not_a_file") for key in "abc"]


def test_files_that_belong_to_no_sample_are_told_apart(tmp_path: Path) -> None:
    write_tar(tmp_path / "s.tar", [("README", b""), ("a.jpg", b"1"), ("._a.jpg", b"2"), ("a.json", b"3")])
    samples, refusals = _read(tmp_path)
    assert [(s.key, s.is_stray, len(s.members)) for s in samples] == [
        ("README", True, 1),
        ("._a.jpg", True, 1),
        ("a", False, 2),
    ]
    assert refusals == []


@pytest.mark.parametrize("cut", [512 + 100, 512 * 2 + 100, 512 * 4 + 700])
def test_a_truncated_shard_keeps_what_was_readable(tmp_path: Path, cut: int) -> None:
    members = [(f"{i}.jpg", bytes([65 + i]) * 600) for i in range(3)]  # 512 header + 1024 data each
    write_tar(tmp_path / "whole.tar", members)
    (tmp_path / "s.tar").write_bytes((tmp_path / "whole.tar").read_bytes()[:cut])
    samples, refusals = _read(tmp_path)
    whole = cut // 1536
    assert [s.members[0].data for s in samples] == [data for _, data in members[:whole]]
    assert refusals[-1].id == TAIL_KEY and refusals[-1].reason == "truncated_shard"


def test_every_cut_is_noticed(tmp_path: Path) -> None:
    """Wherever a shard is cut before its end mark, there is a record of it and no sample is invented."""
    write_tar(tmp_path / "whole.tar", [("0.jpg", b"A" * 600), ("1.jpg", b"B" * 10)])
    data = (tmp_path / "whole.tar").read_bytes()
    end = 512 + 1024 + 512 + 512
    for cut in range(0, end + 1, 64):
        (tmp_path / "s.tar").write_bytes(data[:cut])
        samples, refusals = _read(tmp_path)
        assert refusals, cut
        assert all(s.members[0].data in (b"A" * 600, b"B" * 10) for s in samples), cut


def test_damaged_headers_appended_archives_and_rubbish_are_noticed(tmp_path: Path) -> None:
    write_tar(tmp_path / "whole.tar", [("0.jpg", b"A"), ("1.jpg", b"B")])
    data = (tmp_path / "whole.tar").read_bytes()
    for content, reason, keys in (
        (data[:1024] + b"\x01" * 512 + data[1536:], "truncated_shard", ["0"]),
        (data + data, "data_after_end", ["0", "1"]),
        (b"this is no archive" * 100, "unreadable_shard", []),
        (b"", "unreadable_shard", []),
    ):
        (tmp_path / "s.tar").write_bytes(content)
        samples, refusals = _read(tmp_path)
        assert [s.key for s in samples] == keys
        assert [r.reason for r in refusals] == [reason]


def test_an_empty_archive_is_whole(tmp_path: Path) -> None:
    write_tar(tmp_path / "s.tar", [])
    assert _read(tmp_path) == ([], [])
