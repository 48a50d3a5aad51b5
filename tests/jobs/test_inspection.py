from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from cfanet.inspect import InspectionSummary
from cfanet.records import Detection
from jobs.inspection import print_inspection


def face(left: float, width: float, score: float) -> Detection:
    return Detection((left, 20.0, left + width, 20.0 + width), score, np.zeros((5, 2), np.float32))


@pytest.fixture
def summary() -> InspectionSummary:
    faces = (face(10.0, 40.0, 0.9994), face(200.0, 90.0, 0.91))
    values = {"dlib": np.array([[1.0, 0.9], [0.98, 0.7]])}
    return InspectionSummary(faces, ("", "too uncertain to be judged"), 0, (0.0, 90.0), values, Path("out.png"))


def test_says_what_a_release_would_do_and_how_like_the_new_faces_are(
    summary: InspectionSummary, capsys: pytest.CaptureFixture[str]
) -> None:
    print_inspection(Console(width=80), summary)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[1] == "200, 20 90 px 0.910 obscured: too uncertain to be judged"
    assert lines[2] == "10, 20 40 px 0.999 gets a new one, if one passes the loop ← shown below"
    assert "dlib 0.99 0.80" in lines and "least…most 0.98…1.00 0.70…0.90" in lines
    assert lines[-1] == "Written to out.png"
