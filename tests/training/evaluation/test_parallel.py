"""Groups of experiments give the same documents in one process and in two."""

import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil
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


def sleep(folder: Path) -> None:
    (folder / str(os.getpid())).touch()
    time.sleep(300)


_DRIVER = """
import sys
from functools import partial
from pathlib import Path
from tests.training.evaluation.test_parallel import sleep
from training.evaluation.parallel import run_jobs
if __name__ == "__main__":
    run_jobs([partial(sleep, Path(sys.argv[1]))] * 2, 2)
"""


def test_workers_end_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    (tmp_path / "driver.py").write_text(_DRIVER)
    (tmp_path / "pids").mkdir()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen([sys.executable, tmp_path / "driver.py", tmp_path / "pids"], env=environment) as driver:
        deadline = time.monotonic() + 120
        while len(found := list((tmp_path / "pids").iterdir())) < 2:
            assert driver.poll() is None and time.monotonic() < deadline, "the workers did not start"
            time.sleep(0.05)
        workers = [psutil.Process(int(path.name)) for path in found]
        driver.kill()
    assert not psutil.wait_procs(workers, timeout=20)[1], "they go on without it"
