"""The summary: every status, what was dropped, the verdict and its reasons."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from jobs.config import ReleaseConfig
from jobs.progress import Progress
from jobs.release import Outcome, anonymize, audit, release
from jobs.summary import print_summary
from tests.jobs.fakes import FakeTools, encoded, write_tar

pytestmark = pytest.mark.usefixtures("inline")


def _shown(outcome: Outcome) -> str:
    out = io.StringIO()
    print_summary(Console(file=out, width=100), outcome)
    return out.getvalue()


def test_what_a_person_reads(
    source: Path, tmp_path: Path, make_config: Callable[..., ReleaseConfig], quiet: Progress
) -> None:
    members = [("a.png", encoded([1, 2])), ("a.npy", b"x"), ("b.png", encoded()), ("c.png", b"")]
    write_tar(source / "0.tar", members)
    (source / "notes.md").write_text("hello")
    before = _shown(anonymize(make_config(), quiet, FakeTools))
    assert "nothing is judged yet" in before and "Verdict" not in before
    shown = _shown(release(make_config(), quiet, FakeTools))
    for part in (
        "1 anonymized",
        "1 no face",
        "1 withheld",
        "3 in all",
        "2 faces: 2 replaced",
        "1 empty",
        "1 .npy",
        "1 .md",
    ):
        assert part in " ".join(shown.split())
    assert "passed" in shown and str(tmp_path / "released/_cfanet/report.html") in shown
    write_tar(tmp_path / "released/0.tar", [])
    refused = _shown(audit(make_config(), quiet, FakeTools))
    assert "refused" in refused and "- " in refused
