"""Datasets of faces are recognised by how they lie, and say who is in a picture."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cfanet.errors import ConfigError, InputError
from jobs.codecs.shard import Member, Sample
from jobs.config import ReleaseConfig
from jobs.layouts import Layout, recognise
from tests.jobs.fakes import encoded, write_tar

Make = Callable[..., ReleaseConfig]


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def celeba(folder: Path, pictures: str = "img_celeba") -> None:
    put(folder, *(f"Img/{pictures}/{number:06d}.jpg" for number in range(1, 6)))
    (folder / "identity_CelebA.txt").write_text("".join(f"{n:06d}.jpg {n // 2}\n" for n in range(1, 5)))


def names(layout: Layout) -> dict[str, str]:
    """Who is in each file."""
    paths = [entry.path for item in layout.items for entry in item.files]
    return {path: layout.identity_of(Sample(path, (Member(path, "jpg", 0, 0.0, b""),))) for path in paths}


def test_shards_are_recognised_and_name_people_in_their_sidecars(source: Path, make_config: Make) -> None:
    write_tar(source / "a" / "0.tar", [("x.jpg", encoded()), ("x.json", b'{"identity": "ada"}')])
    layout = recognise(make_config())
    assert (layout.name, [item.shard for item in layout.items]) == ("webdataset", ["a/0"])
    assert "WebDataset" in layout.sentence and "'identity'" in layout.sentence
    sidecar = Member("x.json", "json", 0, 0.0, b'{"identity": "ada"}')
    assert layout.identity_of(Sample("x", (Member("x.jpg", "jpg", 0, 0.0, b""), sidecar))) == "ada"


def test_celeba_takes_names_from_its_table(source: Path, make_config: Make) -> None:
    celeba(source)
    put(source, "Img/img_align_celeba/000001.jpg")
    layout = recognise(make_config())
    assert (layout.name, layout.partition, layout.left_out) == ("celeba", "all", 0)
    assert list(names(layout).values()) == ["celeba-0", "celeba-1", "celeba-1", "celeba-2", ""]
    assert all(path.startswith("Img/img_celeba/") for path in names(layout)), "one copy of each picture is enough"
    assert "1 pictures are not in it" in layout.sentence
    assert [item.shard for item in layout.items] == ["source-000000"]


def test_celeba_prepares_its_training_part_unless_told_otherwise(source: Path, make_config: Make) -> None:
    celeba(source, "img_align_celeba")
    (source / "list_eval_partition.txt").write_text("".join(f"{n:06d}.jpg {n % 3}\n" for n in range(1, 6)))
    train = recognise(make_config())
    assert (train.partition, train.left_out) == ("train", 4) and "partition train" in train.sentence
    assert [path[-10:-4] for path in names(train)] == ["000003"]
    assert [path[-10:-4] for path in names(recognise(make_config(), partition="test"))] == ["000002", "000005"]
    assert len(names(recognise(make_config(), partition="all"))) == 5


def test_celeba_without_names_says_so(source: Path, make_config: Make) -> None:
    celeba(source)
    (source / "identity_CelebA.txt").unlink()
    layout = recognise(make_config())
    assert layout.name == "celeba" and "identity_CelebA.txt is missing" in layout.sentence
    assert set(names(layout).values()) == {""}


def test_a_folder_a_person(source: Path, make_config: Make) -> None:
    put(source, "train/n000002/0001_01.jpg", "train/n000002/0002_01.jpg", "train/n000003/0001_01.jpg", "readme.txt")
    layout = recognise(make_config())
    assert layout.name == "vggface2" and "2 people, 3 pictures" in layout.sentence
    assert list(names(layout).values()) == ["n000002", "n000002", "n000003"]
    assert set(names(recognise(make_config(), "flat")).values()) == {""}


def test_loose_pictures_have_no_names(source: Path, make_config: Make) -> None:
    put(source, "1.jpg", "more/2.png")
    layout = recognise(make_config())
    assert layout.name == "flat" and "2 loose pictures" in layout.sentence
    assert set(names(layout).values()) == {""}
    with pytest.raises(InputError, match="outside of people's folders"):
        recognise(make_config(), "vggface2")


def test_large_folders_are_cut_into_shards(source: Path, make_config: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.layouts._FILES_PER_SHARD", 2)
    put(source, "1.jpg", "2.jpg", "3.jpg")
    assert [len(item.files) for item in recognise(make_config()).items] == [2, 1]


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        (("celebrities",), ConfigError, "--layout 'celebrities' is not known"),
        (("auto", "half"), ConfigError, "--partition 'half' is not known"),
        (("auto", "train"), InputError, "speaks of CelebA"),
        (("celeba", "train"), InputError, "needs list_eval_partition.txt"),
        (("webdataset",), InputError, "holds no .tar shard"),
    ],
)
def test_what_does_not_fit_is_refused(
    source: Path, make_config: Make, options: tuple[str, ...], error: type[Exception], sentence: str
) -> None:
    put(source, "1.jpg")
    with pytest.raises(error, match=sentence):
        recognise(make_config(), *options)


def test_a_broken_table_is_named_with_its_line(source: Path, make_config: Make) -> None:
    celeba(source)
    (source / "identity_CelebA.txt").write_text("000001.jpg 1\n000002.jpg\n")
    with pytest.raises(InputError, match=r"identity_CelebA.txt in SRC .*, line 2"):
        recognise(make_config())


def test_an_empty_folder_is_refused(source: Path, make_config: Make) -> None:
    with pytest.raises(InputError, match="holds no pictures"):
        recognise(make_config())
