"""The internal page: pictures only where a file is named for them, and never where they would be released."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from cfanet.errors import ConfigError
from jobs.config import ReleaseConfig
from jobs.progress import Progress
from jobs.release import release, report
from tests.jobs.fakes import FakeTools, encoded, write_tar

Make = Callable[..., ReleaseConfig]
pytestmark = pytest.mark.usefixtures("inline")


@pytest.fixture
def dataset(source: Path) -> Path:
    """Two shards; one picture has two faces and one has none."""
    for shard in range(2):
        write_tar(source / f"{shard}.tar", [(f"{shard}-{n}.png", encoded([1 + n] * n)) for n in range(3)])
    return source


def test_crops_of_the_worst_cases_stand_side_by_side(
    dataset: Path, tmp_path: Path, make_config: Make, quiet: Progress
) -> None:
    page = tmp_path / "private" / "review.html"
    outcome = release(make_config(run__review=str(page)), quiet, FakeTools)
    outcome.raise_for_status()
    text = page.read_text()
    faces = {f"{shard}-{n}#{i}" for shard in range(2) for n in range(3) for i in range(n)}
    assert set(re.findall(r'class="id">([^<]+)<', text)) == faces and len(faces) == 6
    pictures = re.findall(r"data:image/jpeg;base64,[^\"]+", text)
    assert len(pictures) == 12 and pictures[0] != pictures[1]
    assert "must not be published" in text and page.stat().st_mode & 0o077 == 0
    everything = b"".join(path.read_bytes() for path in (tmp_path / "released").rglob("*") if path.is_file())
    assert b"data:image" not in everything and str(page).encode() not in everything


def test_a_report_does_not_remember_the_page(dataset: Path, tmp_path: Path, make_config: Make, quiet: Progress) -> None:
    page = tmp_path / "review.html"
    release(make_config(), quiet, FakeTools)
    assert not page.exists()
    report(make_config(run__review=str(page)), FakeTools)
    page.unlink()
    report(make_config(), FakeTools)
    assert not page.exists()


@pytest.mark.parametrize("place", ["released", "source"])
def test_it_is_refused_where_it_would_be_released(
    dataset: Path, tmp_path: Path, make_config: Make, quiet: Progress, place: str
) -> None:
    with pytest.raises(ConfigError, match=r"run\.review .* shows originals"):
        release(make_config(run__review=str(tmp_path / place / "review.html")), quiet, FakeTools)
