"""Image folders: paths kept, items stable, files atomic."""

from pathlib import Path

from audit.enrol import Pseudonyms
from jobs.codecs.folder import FolderCodec, extension_of, group_files
from jobs.codecs.shard import Refusal, Sample
from jobs.storage import LocalStorage, write_bytes


def test_extensions() -> None:
    assert [extension_of(p) for p in ("a/b.JPG", "x.tar.gz", "README", ".hidden", "d.x/y")] == ["jpg", "gz", "", "", ""]


def test_groups_are_sorted_stable_and_change_with_their_files(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    for number in range(5):
        write_bytes(storage, f"d/{number}.png", b"x")
    first = group_files(list(storage.list()), 2)
    assert [[entry.path for entry in item.files] for item in first] == [
        ["d/0.png", "d/1.png"],
        ["d/2.png", "d/3.png"],
        ["d/4.png"],
    ]
    assert [item.shard for item in first] == ["files-000000", "files-000001", "files-000002"]
    assert group_files(list(storage.list()), 2) == first
    write_bytes(storage, "d/3.png", b"y")
    changed = group_files(list(storage.list()), 2)
    assert [a.etag == b.etag for a, b in zip(first, changed, strict=True)] == [True, False, True]


def test_files_are_samples_named_by_their_paths(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "in")
    for name in ("a b/ü.PNG", "notes.txt", "x.jpg"):
        write_bytes(storage, name, name.encode())
    (item,) = group_files(list(storage.list()), 10)
    found = list(FolderCodec().read(storage, item, lambda extension: extension in ("png", "jpg")))
    assert all(isinstance(sample, Sample) for sample in found)
    assert [(s.key, s.members[0].data) for s in found if isinstance(s, Sample)] == [
        ("a b/ü.PNG", "a b/ü.PNG".encode()),
        ("notes.txt", None),
        ("x.jpg", b"x.jpg"),
    ]


def test_a_file_that_vanished_is_refused(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    write_bytes(storage, "x.jpg", b"1")
    (item,) = group_files(list(storage.list()), 10)
    storage.delete("x.jpg")
    (refusal,) = FolderCodec().read(storage, item, lambda extension: True)
    assert isinstance(refusal, Refusal) and refusal.reason == "unreadable_file"


def test_withheld_files_of_an_earlier_run_are_removed(tmp_path: Path) -> None:
    source, out = LocalStorage(tmp_path / "in"), LocalStorage(tmp_path / "out")
    write_bytes(source, "d/x.jpg", b"1")
    write_bytes(out, "d/x.jpg", b"released earlier")
    (item,) = group_files(list(source.list()), 10)
    (sample,) = FolderCodec().read(source, item, lambda extension: True)
    assert isinstance(sample, Sample)
    with FolderCodec().writer(out, item, source) as writer:
        writer.withhold(sample.members)
    assert out.entry("d/x.jpg") is None and writer.outputs() == []


def test_pseudonyms_keep_neither_path_nor_order_and_leave_neighbours_together(tmp_path: Path) -> None:
    for name in ("Ann Smith/1.jpg", "Ann Smith/1.txt", "Ann Smith/2.JPG", "Bob/1.jpg", "README"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    storage = LocalStorage(tmp_path)
    (item,) = group_files(list(storage.list()), 10, Pseudonyms(b"k" * 32).of_file)
    assert list(item.names) == sorted(item.names) and len(set(item.names)) == 5
    named = {entry.path: name for entry, name in zip(item.files, item.names, strict=True)}
    assert not [name for name in item.names if "Ann" in name or "Smith" in name or "README" in name]
    assert named["Ann Smith/1.jpg"].removesuffix(".jpg") == named["Ann Smith/1.txt"].removesuffix(".txt")
    assert named["Ann Smith/2.JPG"].endswith(".JPG") and "." not in named["README"]
    other = group_files(list(storage.list()), 10, Pseudonyms(b"l" * 32).of_file)[0]
    assert not set(other.names) & set(item.names)
    samples = {sample.key: sample for sample in FolderCodec().read(storage, item, lambda extension: True)}
    assert [m.data for m in samples[named["Bob/1.jpg"]].members] == [b"Bob/1.jpg"]
