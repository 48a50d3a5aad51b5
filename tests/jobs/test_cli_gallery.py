"""The command asks, says what it did in one sentence, and has exit codes."""

from pathlib import Path

import pytest

from jobs.cli import main
from jobs.gallery_store import GalleryStore


@pytest.fixture
def gallery(tmp_path: Path) -> str:
    uri = str(tmp_path / "gallery")
    GalleryStore(uri).create()
    return uri


def test_it_does_nothing_unasked(gallery: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gallery", "delete", "--gallery", gallery]) == 2
    assert "nothing was deleted" in capsys.readouterr().err
    assert GalleryStore(gallery).made


def test_it_deletes_and_says_what(gallery: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gallery", "delete", "--gallery", gallery, "--yes"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("Deleted: all 0 enrolled shards of ") and said.count("\n") == 1
    assert not Path(gallery).exists()
    assert main(["gallery", "delete", "--gallery", gallery, "--yes"]) == 2


def test_its_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gallery", "delete", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Example: cfanet gallery delete --gallery private/gallery" in said and "--subject" in said
