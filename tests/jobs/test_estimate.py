"""The dry run: what would be done, and nothing written."""

from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.cli import main
from jobs.config import ReleaseConfig
from jobs.estimate import estimate, plan_lines
from jobs.run import dry_run
from tests.jobs.fakes import encoded, write_tar


def test_pictures_are_extrapolated_by_bytes_and_nothing_is_written(
    source: Path, tmp_path: Path, make_config: Callable[..., ReleaseConfig]
) -> None:
    for shard in range(3):
        write_tar(source / f"{shard}.tar", [(f"{i}.bmp", encoded([1], "BMP")) for i in range(20)])
    (source / "notes.md").write_text("x")
    config = make_config()
    plan = dry_run(config)
    cost = estimate(config, plan)
    assert cost.shards == 3 and 54 <= cost.pictures <= 66  # 60, and a little for the headers of the archive
    assert cost.requests == 0 and cost.written_bytes == sum(p.stat().st_size for p in source.glob("*.tar"))
    text = "\n".join(plan_lines(config, plan, cost, 4))
    assert "3 planned = 0 done + 0 withheld + 3 to do" in text and "1 .md" in text and "4 workers" in text
    assert not (tmp_path / "released").exists()


def test_the_command_prints_it(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tar(source / "a.tar", [("a.png", encoded([1]))])
    assert main(["release", str(source), str(tmp_path / "released"), "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "1 planned = 0 done + 0 withheld + 1 to do" in printed and "Nothing was written" in printed
    assert not (tmp_path / "released").exists() and not (tmp_path / "released.gallery").exists()
