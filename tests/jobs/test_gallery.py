"""The gallery on its own."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from cfanet.errors import ConfigError
from jobs.config import ReleaseConfig, load_config
from jobs.gallery import calibrate_gallery, enrol_gallery
from jobs.progress import Progress
from tests.jobs.fakes import FakeTools, encoded, write_tar


def test_enrol_and_calibrate_without_a_destination(
    source: Path, tmp_path: Path, quiet: Progress, inline: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.gallery.ray_session", lambda config: nullcontext())
    write_tar(source / "0.tar", [("a.png", encoded([1])), ("a.json", b'{"identity": "Ada"}')])
    config = load_config(None, (), {"source.uri": str(source), "run.gallery": str(tmp_path / "private")})
    snapshot = enrol_gallery(config, quiet, FakeTools)
    assert (snapshot.n_references, snapshot.n_subjects) == (1, 1)
    assert (tmp_path / "private").stat().st_mode & 0o077 == 0, "others may read embeddings"
    (found,) = calibrate_gallery(config, FakeTools)
    assert (found.recognizer, found.threshold, found.source) == ("fake-judge", 0.5, "published")


def test_it_must_be_named_and_lie_outside_the_source(
    source: Path, make_config: Callable[..., ReleaseConfig], quiet: Progress
) -> None:
    write_tar(source / "0.tar", [])
    with pytest.raises(ConfigError, match="no gallery is named"):
        enrol_gallery(make_config(destination__uri=""), quiet, FakeTools)
    with pytest.raises(ConfigError, match="lies inside SRC"):
        enrol_gallery(make_config(run__gallery=str(source / "g")), quiet, FakeTools)
