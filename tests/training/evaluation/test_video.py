import json
from pathlib import Path

import numpy as np
import pytest

from cfanet.errors import InputError
from jobs.cli import main
from tests.cfanet.clips import pan, write_clip
from tests.cfanet.portraits import eileen_collins
from training.evaluation.video import VideoRequest, evaluate_video


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """An original, and what stands for its release: the same films with a face that flickers, and with one covered."""
    frames = pan(eileen_collins(), (230, 120), (-3, 1), 4)
    write_clip(tmp_path / "films" / "a" / "clip.mp4", frames, sound=False)
    write_clip(tmp_path / "films" / "withheld.mp4", frames[:3], sound=False)
    for number, frame in enumerate(frames):
        frames[number] = (frame * (0.8 if number % 2 else 1.0)).astype(np.uint8)
    write_clip(tmp_path / "released" / "a" / "clip.mp4", frames, sound=False)
    write_clip(tmp_path / "films" / "covered.mp4", pan(eileen_collins(), (230, 120), (-3, 1), 4), sound=False)
    grey = np.full_like(frames[0], 128)
    write_clip(tmp_path / "released" / "covered.mp4", [grey] * 4, sound=False)
    return tmp_path


def test_a_flickering_face_is_measured_beside_its_original(films: Path) -> None:
    request = VideoRequest(films / "films", films / "released", films / "results", one_by_one=True)
    path, text = evaluate_video(request)
    document = json.loads(path.read_text())
    assert document["frames"] == 8 and document["not released"] == ["withheld.mp4"]
    every, throughout, distance = (table["rows"] for table in document["tables"])
    assert [row["found"]["value"] for row in every] == [1.0, 0.5, 1.0], "one of two films is covered"
    rows = {row["version"]: row for row in throughout}
    assert set(rows) == {"original", "released", "one by one"}
    assert rows["original"]["flicker"]["value"] < 5 < 10 < rows["released"]["flicker"]["value"]
    assert rows["original"]["pixels"]["value"] < 0.5 * rows["released"]["pixels"]["value"]
    assert rows["released"]["found"]["value"] == 1.0
    neighbours = {name: row["cosine of neighbours"]["value"] for name, row in rows.items()}
    assert neighbours["one by one"] < neighbours["released"]  # four people instead of one
    assert {row["version"]: row["tracks matched"]["value"] for row in distance} == {"released": 1.0, "one by one": 0.0}
    assert {row["version"]: row["mean of a track"]["n"] for row in distance} == {"released": 1, "one by one": 2}
    assert "not released: ['withheld.mp4']" in text.read_text()


def test_frames_that_do_not_belong_together_are_refused(films: Path) -> None:
    write_clip(films / "released" / "a" / "clip.mp4", [np.zeros((64, 64, 3), np.uint8)] * 4, sound=False)
    with pytest.raises(InputError, match="frame 0 is not the same in both folders"):
        evaluate_video(VideoRequest(films / "films", films / "released", films / "results"))


def test_the_command_names_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "video", str(tmp_path), "--released", str(tmp_path), "--out", str(tmp_path / "o")]) == 2
    assert "holds no video" in capsys.readouterr().err
