"""The command line: exit codes, one sentence for what the user can mend, and quick help."""

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from cfanet.errors import CfanetError
from jobs import cli
from jobs.cli import app, main
from jobs.config import ReleaseConfig
from tests.jobs.fakes import FakeTools, encoded, write_tar
from training.cli import app as training_app

COMMANDS = [
    "demo",
    "release",
    "anonymize",
    "audit",
    "obscure",
    "report",
    "status",
    "calibrate",
    "inspect",
    "gallery",
    "weights",
    "prepare",
    "train",
    "landmarks",
    "merge",
    "evaluate",
]


def _commands(group: Any, prefix: str = "") -> dict[str, Any]:
    found = {}
    for name, command in group.commands.items():
        found[prefix + name] = command
        if hasattr(command, "commands"):
            found |= _commands(command, f"{prefix}{name} ")
    return found


def test_every_command_of_the_design_is_there() -> None:
    assert set(COMMANDS) <= set(_commands(typer.main.get_command(app)))


def test_every_help_has_an_example() -> None:
    leaves = {n: c for n, c in _commands(typer.main.get_command(app)).items() if not hasattr(c, "commands")}
    passed_on = {"train", "landmarks", "expression", "merge", "evaluate"}  # these have theirs in the help of their own
    missing = [n for n, c in leaves.items() if n not in passed_on and f"Example: cfanet {n}" not in (c.epilog or "")]
    assert leaves and not missing
    theirs = _commands(typer.main.get_command(training_app))
    for name in ("train", "landmarks", "expression make", "expression fit", "merge"):
        assert f"Example: cfanet {name}" in f"{theirs[name].help} {theirs[name].epilog}", name


def test_no_command_has_more_than_a_dozen_flags() -> None:
    commands = _commands(typer.main.get_command(app)).values()
    assert max(sum(p.param_type_name == "option" for p in command.params) for command in commands) <= 12


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    heavy = "sorted({'torch', 'ray', 'dlib'} & set(sys.modules))"
    script = f"import sys; from jobs.cli import main; main(['--help']); print({heavy})"
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")
    assert time.monotonic() - started < 5.0  # a loaded machine; alone it takes half a second


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["release"], "SRC is missing"),
        (["release", "SOURCE"], "DST is missing"),
        (["release", "SOURCE/none", "OUT"], "is not a folder"),
        (["release", "SOURCE", "SOURCE"], "lie inside each other"),
        (["release", "gs://bucket/in", "OUT"], "gs:// addresses are not supported"),
        (["release", "SOURCE", "OUT", "--set", "anonymize.angel_deg=3"], "did you mean 'anonymize.angle_deg'?"),
        (["release", "SOURCE", "OUT", "--set", "anonymize.angle_deg=999"], "less than or equal to 180"),
        (["release", "SOURCE", "OUT", "--set", "anonymize.loop.threshold=3"], "anonymize.loop.threshold"),
        (["release", "SOURCE", "OUT", "--config", "OUT/none.toml"], "cannot be read"),
        (["release", "SOURCE", "OUT", "--key-file", "OUT/none"], "key file"),
        (["audit", "OUT"], "SRC is missing"),
        (["audit", "OUT", "--source", "SOURCE"], "run `cfanet anonymize` first"),
        (["status", "OUT"], "holds no run of this tool"),
        (["status"], "DST is missing"),
        (["calibrate"], "no gallery is named"),
        (["gallery", "enrol", "SOURCE"], "no gallery is named"),
    ],
)
def test_bad_input_is_exit_two_and_one_sentence(
    arguments: list[str], sentence: str, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tar(source / "0.tar", [("a.png", encoded([1]))])
    given = [part.replace("SOURCE", str(source)).replace("OUT", str(tmp_path / "out")) for part in arguments]
    assert main(given) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert len(error.strip().splitlines()) == 1 and "Traceback" not in error


def test_unknown_commands_and_options_are_exit_two() -> None:
    assert main(["nonsense"]) == 2
    assert main(["release", "--nonsense"]) == 2


@pytest.fixture
def fakes(inline: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands use the fakes."""
    from jobs import release as job

    for name in ("release", "anonymize", "audit"):
        original = getattr(job, name)
        monkeypatch.setattr(job, name, lambda c, p, original=original: original(c, p, FakeTools))
    original_report = job.report
    monkeypatch.setattr(job, "report", lambda c: original_report(c, FakeTools))


def test_exit_codes_of_a_release(
    fakes: None, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tar(source / "0.tar", [("a.png", encoded([1])), ("b.png", encoded())])
    places = [str(source), str(tmp_path / "out")]
    assert main(["release", *places]) == 0
    shown = capsys.readouterr().out
    assert "passed" in shown and "report.html" in shown and re.search(r"1 +anonymized", shown)
    assert main(["status", places[1]]) == 0
    assert "1 shards planned = 1 done + 0 withheld + 0 left" in capsys.readouterr().out
    assert main(["report", places[1], "--source", places[0]]) == 0
    write_tar(tmp_path / "out/0.tar", [])
    assert main(["audit", places[1], "--source", places[0]]) == 3
    write_tar(source / "0.tar", [("a.png", encoded([1])), ("b.png", b"")])
    assert main(["release", str(source), str(tmp_path / "other")]) == 4
    assert "more than run.max_withheld" in capsys.readouterr().err.replace("\n", " ")


def test_internal_errors_are_exit_one(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for error, expected in (
        (RuntimeError("boom"), "internal error"),
        (CfanetError("2 shards failed"), "2 shards failed"),
    ):

        def fail(*_: Any, error: Exception = error) -> ReleaseConfig:
            raise error

        monkeypatch.setattr(cli, "_load", fail)
        assert main(["release", "a", "b"]) == 1
        assert expected in capsys.readouterr().err


def test_a_job_file_is_the_command_with_a_configuration(
    fakes: None, source: Path, tmp_path: Path, make_config: Callable[..., ReleaseConfig]
) -> None:
    write_tar(source / "0.tar", [("a.png", encoded([1]))])
    file = tmp_path / "release.toml"
    file.write_text(f'[source]\nuri = "{source}"\n[destination]\nuri = "{tmp_path / "out"}"\n')
    assert main(["release", "--config", str(file), "--set", "anonymize.angle_deg=45"]) == 0
    assert (tmp_path / "out/RELEASE.json").is_file()
