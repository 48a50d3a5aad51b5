"""The commands: help with an example, one sentence for a mistake, and a run of each."""

from pathlib import Path

import pytest
from typer.main import get_command

from jobs.cli import main
from training.evaluation.cli import app


def test_every_command_has_an_example_and_at_most_a_dozen_options() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    assert set(commands) == {
        "lfw",
        "quality",
        "control",
        "diversity",
        "attributes",
        "groups",
        "scorecard",
        "donors",
        "ablation",
        "results",
        "video",
    }
    for name, command in commands.items():
        assert f"Example: cfanet evaluate {name}" in command.epilog
        assert len(command.params) <= 12


@pytest.mark.parametrize("command", [["control", "--step", "75"], ["diversity", "--identities", "2"]])
def test_a_command_runs_and_says_where_its_tables_are(
    command: list[str], dataset: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = ["--generator", str(dataset / "tiny.safetensors"), "--limit", "2", "--out", str(out)]
    assert main(["evaluate", command[0], str(dataset), *command[1:], *generator]) == 0
    shown = capsys.readouterr().out
    assert f"{command[0]}.json" in shown and "| dlib |" in shown.replace("| 0 |", "| dlib |")
    assert (out / f"{command[0]}.md").is_file()
    assert (out / "control-faces.png").is_file() or command[0] != "control"


def test_a_mistake_is_exit_two_and_one_sentence(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "quality", str(tmp_path / "none"), "--out", str(tmp_path)]) == 2
    assert "holds no .tar shards" in capsys.readouterr().err
    lines = ["evaluate", "lfw", str(dataset), "--pairs", str(tmp_path / "none.csv"), "--out", str(tmp_path)]
    assert main(lines) == 2
    assert "cannot be read" in capsys.readouterr().err
