"""The documents say what the program does: commands, configuration, exit codes, files and links are in step."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import cfanet.errors
from cfanet.errors import CfanetError
from cfanet.records import ImageStatus
from jobs.cli import app
from jobs.config import ReleaseConfig, known_keys, load_config
from tests.sources import ROOT, sources
from training.cli import app as training_app
from training.config import load_settings

README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def commands(group: Any, prefix: str = "") -> dict[str, Any]:
    """Every leaf command by its full name: `gallery enrol`."""
    if not hasattr(group, "commands"):
        return {prefix.strip(): group}
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        if not command.hidden:
            found |= commands(command, f"{prefix} {name}")
    return found


COMMANDS = commands(get_command(app)) | commands(get_command(training_app))


def code() -> str:
    """Everything in the documents that is set as code, but not the log of experiments: that is history."""
    texts = [path.read_text(encoding="utf-8") for path in DOCUMENTS if path.name != "LOG.md"]
    return "\n".join(found for text in texts for found in re.findall(r"```.*?```|`[^`\n]+`", text, flags=re.DOTALL))


def section(title: str) -> str:
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", README, flags=re.DOTALL | re.MULTILINE)
    assert found, f"README has no section {title!r}"
    return found.group(1)


def test_the_command_table_is_the_list_of_commands() -> None:
    rows = re.findall(r"^\| `(?:cfanet )?([^`]+)` \|", section("Commands"), flags=re.MULTILINE)
    named = {" ".join(word for word in row.split() if re.fullmatch(r"[a-z][a-z-]*", word)) for row in rows}
    assert COMMANDS and named == set(COMMANDS)


def test_every_use_of_the_program_in_the_documents_exists() -> None:
    uses = re.findall(r"\bcfanet ([a-z][^`\n#]*)", code())
    assert len(uses) > 5
    for use in uses:
        words = use.split()
        name = next((" ".join(words[:n]) for n in (2, 1) if " ".join(words[:n]) in COMMANDS), None)
        assert name, f"`cfanet {use}`: no such command"
        options = {option for parameter in COMMANDS[name].params for option in parameter.opts} | {"--help"}
        for word in words:
            if word.startswith("--") and len(word) > 2:
                assert word.partition("=")[0] in options, f"`cfanet {use}`: {name} has no option {word}"


def test_every_configuration_in_the_readme_is_valid(tmp_path: Path) -> None:
    blocks = re.findall(r"```toml\n(.*?)```", README, flags=re.DOTALL)
    assert blocks
    for block in blocks:
        path = tmp_path / "release.toml"
        path.write_text(block, encoding="utf-8")
        load_config(path)


def test_every_training_configuration_in_the_documents_is_valid(tmp_path: Path) -> None:
    blocks = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "training.md").read_text("utf-8"), flags=re.DOTALL)
    assert blocks
    for block in blocks:
        path = tmp_path / "train.toml"
        path.write_text(block, encoding="utf-8")
        load_settings(path)


def test_every_configuration_key_in_the_documents_exists() -> None:
    keys = set(known_keys(ReleaseConfig))
    sections = "|".join(sorted({key.split(".")[0] for key in keys}))
    named = {
        key
        for document in DOCUMENTS
        for key in re.findall(
            rf"(?:`|--set )((?:{sections})(?:\.[a-z_0-9]+)+)\b(?!\.py)(?![(/])", document.read_text("utf-8")
        )
    }
    modules = set(sources())
    assert named
    assert not {key for key in named - keys if key not in modules and key.rpartition(".")[0] not in modules}


def test_exit_codes_are_those_of_the_error_tree() -> None:
    documented = {int(number) for number in re.findall(r"^\| (\d) \|", section("Exit codes"), flags=re.MULTILINE)}
    kinds = [kind for kind in vars(cfanet.errors).values() if isinstance(kind, type) and issubclass(kind, CfanetError)]
    assert len(kinds) > 4
    assert documented == {0} | {kind.exit_code for kind in kinds}


def test_every_status_is_explained() -> None:
    for status in ImageStatus:
        assert f"`{status}`" in README


def test_make_targets_and_modules_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):.*##", makefile, flags=re.MULTILINE))
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        used = set(re.findall(r"`make ([a-z]+)|^make ([a-z]+)", text, flags=re.MULTILINE))
        assert {name for pair in used for name in pair if name} <= targets, document.name
        for module in re.findall(r"python -m ((?:jobs|audit|training|cfanet)[\w.]*)", text):
            assert module in sources(), f"{document.name}: python -m {module}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_documents_name_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert not [link for link in links if link and not (document.parent / link).exists()]
    named = re.findall(r"`((?:cfanet|audit|jobs|training|tests|docs|benchmarks)/[\w/]+\.\w+)`", text)
    # tests/jobs/test_plan.py and the like are examples of a rule, and must exist as well.
    assert not [path for path in named if not (ROOT / path).exists()]


def test_the_version_is_in_the_changelog() -> None:
    assert f"## {PROJECT['version']}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
