"""What was released opens with the readers that people use: plain webdataset, pyarrow and datasets."""

import io
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import webdataset
from datasets import Image as ImageFeature
from datasets import load_dataset
from PIL import Image

from jobs.config import ReleaseConfig
from jobs.progress import Progress
from jobs.release import release
from tests.jobs.fakes import FakeTools, encoded, write_tar

Make = Callable[..., ReleaseConfig]
pytestmark = pytest.mark.usefixtures("inline")


def _is_replaced(picture: Image.Image) -> bool:
    """The fake anonymizer paints faces blue."""
    red, _, blue = picture.convert("RGB").getpixel((20, 28))  # type: ignore[misc]  # three numbers
    return blue > 200 > red


def test_tar_shards_are_read_by_webdataset_and_datasets(
    source: Path, tmp_path: Path, make_config: Make, quiet: Progress
) -> None:
    for shard in range(2):
        members = [
            (f"{shard}-{i}.{kind}", data) for i in range(3) for kind, data in (("png", encoded([1])), ("cls", b"7"))
        ]
        write_tar(source / f"{shard}.tar", members)
    release(make_config(destination__keep_members=["cls"]), quiet, FakeTools).raise_for_status()
    shards = [str(tmp_path / "released" / f"{shard}.tar") for shard in range(2)]
    samples = list(webdataset.WebDataset(shards, shardshuffle=False).decode("pil").to_tuple("__key__", "png", "cls"))
    assert [key for key, _, _ in samples] == [f"{shard}-{i}" for shard in range(2) for i in range(3)]
    assert all(_is_replaced(picture) and label == 7 for _, picture, label in samples)
    rows = list(load_dataset("webdataset", data_files=shards, split="train", streaming=True, cache_dir=str(tmp_path)))
    assert [row["__key__"] for row in rows] == [key for key, _, _ in samples]
    assert all(_is_replaced(row["png"]) and row["cls"] == 7 for row in rows)


def test_parquet_is_read_by_pyarrow_and_datasets(
    source: Path, tmp_path: Path, make_config: Make, quiet: Progress
) -> None:
    features = ImageFeature()
    images = [{"bytes": encoded([1]), "path": f"{i}.png"} for i in range(4)]
    table = pa.table({"image": pa.array(images, features.pa_type), "label": [7, 8, 9, 10]})
    pq.write_table(table, source / "train.parquet", row_group_size=2)
    release(make_config(destination__keep_members=["label"]), quiet, FakeTools).raise_for_status()
    path = tmp_path / "released" / "train.parquet"
    read = pq.read_table(path).to_pylist()
    assert pq.ParquetFile(path).num_row_groups == 2
    assert [row["label"] for row in read] == [7, 8, 9, 10]
    assert all(_is_replaced(Image.open(io.BytesIO(row["image"]["bytes"]))) for row in read)
    rows = load_dataset("parquet", data_files=str(path), split="train", streaming=True, cache_dir=str(tmp_path))
    rows = rows.cast_column("image", features)
    assert [(_is_replaced(row["image"]), row["label"]) for row in rows] == [(True, 7), (True, 8), (True, 9), (True, 10)]


def test_a_folder_is_read_by_datasets(source: Path, tmp_path: Path, make_config: Make, quiet: Progress) -> None:
    for name in ("cats", "dogs"):
        (source / name).mkdir()
        (source / name / "1.png").write_bytes(encoded([2]))
    release(make_config(), quiet, FakeTools).raise_for_status()
    pictures = [str(tmp_path / "released" / name / "1.png") for name in ("cats", "dogs")]
    rows = list(
        load_dataset("imagefolder", data_files=pictures, split="train", streaming=True, cache_dir=str(tmp_path))
    )
    assert len(rows) == 2 and all(_is_replaced(row["image"]) for row in rows)
