"""Groups of experiments give the same documents in one process and in two."""

import json
from functools import partial
from pathlib import Path

import pytest

from training.evaluation.parallel import run_groups


def write(folder: Path, name: str) -> tuple[Path, Path]:
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"experiment": name}), encoding="utf-8")
    return path, path.with_suffix(".md")


def fail() -> tuple[Path, Path]:
    raise ValueError("broken")


@pytest.mark.parametrize("workers", [1, 2])
def test_documents_come_back_by_name(workers: int, tmp_path: Path) -> None:
    groups = [
        {"a": partial(write, tmp_path, "a"), "b": partial(write, tmp_path, "b")},
        {"c": partial(write, tmp_path, "c")},
    ]
    assert run_groups(groups, workers) == {name: {"experiment": name} for name in "abc"}


def test_an_error_in_a_process_is_raised() -> None:
    with pytest.raises(ValueError, match="broken"):
        run_groups([{"a": fail}, {"b": fail}], 2)
