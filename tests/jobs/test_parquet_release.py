"""Parquet through the whole job: what comes out is what plain pyarrow reads, whatever the place."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from jobs.config import ReleaseConfig
from jobs.ledger import read_ledger
from jobs.progress import Progress
from jobs.quarantine import read_quarantine
from jobs.release import release
from jobs.storage import LocalStorage
from tests.jobs.fakes import FakeTools, encoded, folder_digest
from tests.jobs.s3 import Bucket, moto_server, variables

Make = Callable[..., ReleaseConfig]
pytestmark = pytest.mark.usefixtures("inline")
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@pytest.fixture
def dataset(source: Path) -> Path:
    """Two shards in row groups of four; the third row of each cannot be decoded."""
    schema = pa.schema([("image", IMAGE), ("identity", pa.string()), ("label", pa.int32())])
    for shard in range(2):
        values: list[dict[str, Any]] = [
            {
                "image": {"bytes": encoded([row % 4 + 1] * (row % 3)), "path": f"person-{row}.png"},
                "identity": f"person-{row % 4}",
                "label": row,
            }
            for row in range(10)
        ]
        values[2]["image"]["bytes"] = b"no picture"
        pq.write_table(pa.Table.from_pylist(values, schema), source / f"{shard}.parquet", row_group_size=4)
    return source


def test_rows_labels_and_groups_arrive_and_names_do_not(
    dataset: Path, tmp_path: Path, make_config: Make, quiet: Progress
) -> None:
    config = make_config(destination__keep_members=["label"], run__max_withheld=0.5)
    release(config, quiet, FakeTools).raise_for_status()
    released = LocalStorage(tmp_path / "released")
    for shard in ("0", "1"):
        file = pq.ParquetFile(released.root / f"{shard}.parquet")
        assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [3, 4, 2]
        rows = file.read().to_pylist()
        assert [row["label"] for row in rows] == [0, 1, 3, 4, 5, 6, 7, 8, 9]
        for row in rows:
            before = Image.open(io.BytesIO(encoded([row["label"] % 4 + 1] * (row["label"] % 3))))
            after = Image.open(io.BytesIO(row["image"]["bytes"]))
            assert row["image"]["path"] is None
            assert (after.tobytes() == before.tobytes()) == (row["label"] % 3 == 0)  # those without a face
        assert b"person" not in (released.root / f"{shard}.parquet").read_bytes()
        (withheld,) = read_quarantine(released, shard)
        assert withheld.picture == f"{shard}:000000002"
        ids = [entry.picture.sample_key for entry in read_ledger(released, shard)]
        assert ids == [f"{shard}:{row:09d}" for row in range(10)]


def test_from_bucket_to_bucket_it_is_the_same(
    dataset: Path, tmp_path: Path, make_config: Make, quiet: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_bytes(b"0123456789abcdef")
    common = {"run__key_file": str(tmp_path / "key"), "run__max_withheld": 0.5, "destination__keep_members": ["label"]}
    release(make_config(**common), quiet, FakeTools)
    expected = folder_digest(tmp_path / "released")
    with moto_server() as endpoint:
        for name, value in variables(endpoint).items():
            monkeypatch.setenv(name, value)
        bucket = Bucket(endpoint, "parquet")
        for shard in ("0", "1"):
            bucket.put(f"in/{shard}.parquet", (dataset / f"{shard}.parquet").read_bytes())
        places = {"source__uri": "s3://parquet/in", "destination__uri": "s3://parquet/out"}
        release(make_config(**places, **common), quiet, FakeTools).raise_for_status()
        for shard in ("0", "1"):
            (tmp_path / "fetched").mkdir(exist_ok=True)
            (tmp_path / f"fetched/{shard}.parquet").write_bytes(bucket.get(f"out/{shard}.parquet"))
    found = folder_digest(tmp_path / "fetched")
    assert len(found) == 2 and found == {name: expected[name] for name in found}
