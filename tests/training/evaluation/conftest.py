"""A small dataset of real faces, and a tiny generator of random weights."""

from pathlib import Path

import pytest

from cfanet.weights import save_generator
from tests.cfanet.tiny import spread, tiny_generator
from tests.training.evaluation.shards import PAIRS, portrait_entries, write_shard


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`portraits.tar`, `pairs.csv` and `tiny.safetensors` in one folder."""
    folder = tmp_path_factory.mktemp("dataset")
    write_shard(folder / "portraits.tar", portrait_entries())
    (folder / "pairs.csv").write_text(PAIRS, encoding="utf-8")
    loose = {1e-2: 0.95, 1e-3: 0.97}  # new faces of a generator that was never trained pass the loop, mostly
    save_generator(folder / "tiny.safetensors", tiny_generator().network, spread(), loose, {"steps": "0"})
    return folder


@pytest.fixture(scope="session")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder of results, so that the experiments share what they computed."""
    return tmp_path_factory.mktemp("results")
