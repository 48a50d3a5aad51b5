import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cfanet.records import Detection, ImageArray
from cfanet.video_file import Frame, read_frames
from jobs.anonymize import AnonymizeWorker
from jobs.codecs.shard import WorkItem
from jobs.config import ReleaseConfig
from jobs.ledger import read_ledger
from jobs.manifest import read_manifest
from jobs.progress import Progress
from jobs.quarantine import read_quarantine
from jobs.release import Outcome, anonymize, release
from jobs.storage import open_storage
from jobs.video import MAX_PASSES, VideoRelease
from tests.cfanet.clips import UNEVEN_S, pan, sound_of, write_clip
from tests.cfanet.portraits import eileen_collins
from tests.jobs.fakes import FACE, HIDDEN, POISON, FakeTools, folder_digest, picture
from tests.jobs.s3 import Bucket, moto_server, variables
from tests.jobs.test_withhold import _failing

pytestmark = pytest.mark.usefixtures("inline")
Make = Callable[..., ReleaseConfig]


def read(path: Path) -> list[Frame]:
    with path.open("rb") as file:
        return list(read_frames(file, path.suffix[1:], 64.0))


@pytest.fixture
def make_config(make_config: Make) -> Make:
    """The fakes' faces are 24 pixels wide."""
    return lambda **values: make_config(**({"anonymize__min_replace_px": 8.0} | values))


def shown(*shades: Sequence[int]) -> list[ImageArray]:
    return [picture(several) for several in shades]


def run(config: ReleaseConfig, quiet: Progress) -> Outcome:
    return release(config, quiet, FakeTools)


def middle(frame: Frame, slot: int = 0) -> np.ndarray:
    """Colour in the middle of a face: red before, blue after."""
    return frame.pixels[28, 8 + 40 * slot + FACE // 2].astype(int)


def replaced(frame: Frame, slot: int = 0) -> bool:
    red, _, blue = middle(frame, slot)
    return blue > red + 100


def original(frame: Frame, slot: int = 0) -> bool:
    red, _, blue = middle(frame, slot)
    return red > blue + 100


def test_a_video_is_released_with_a_record_of_every_frame(
    source: Path, tmp_path: Path, make_config: Make, quiet: Progress
) -> None:
    write_clip(source / "a" / "clip.mp4", shown(*[[40, 20]] * len(UNEVEN_S)), UNEVEN_S)
    outcome = run(make_config(), quiet)
    target = tmp_path / "released" / "a" / "clip.mp4"
    assert outcome.verdict is not None and outcome.verdict.passed, outcome.verdict.reasons
    frames = read(target)
    assert [f.time_s for f in frames] == [f.time_s for f in read(source / "a" / "clip.mp4")]
    assert all(replaced(frame, slot) for frame in frames for slot in (0, 1))
    assert sound_of(target) == sound_of(source / "a" / "clip.mp4") != []
    entries = read_ledger(open_storage(str(tmp_path / "released")), "a/clip.mp4")
    assert len(entries) == len(UNEVEN_S) and all(len(entry.picture.faces) == 2 for entry in entries)
    for track in (0, 1):  # one seed, so one identity, a track; and one colour
        assert len({entry.picture.faces[track].seed_id for entry in entries}) == 1
        assert np.ptp([middle(frame, track) for frame in frames], axis=0).max() <= 8
    checks = {check.name: check for check in outcome.verdict.checks}
    assert checks["repeated_seeds"].n_offenders == 0  # frames of a track share theirs on purpose
    record = json.loads((tmp_path / "released" / "RELEASE.json").read_text())
    assert list(record["shards"]) == ["a/clip.mp4"]


def test_frames_in_which_the_detector_misses_a_face_show_the_new_one(
    source: Path, tmp_path: Path, make_config: Make, quiet: Progress
) -> None:
    """Shade HIDDEN is a face that enrolment does not see; before, between and after frames in which it does."""
    write_clip(source / "clip.mp4", shown(*[[HIDDEN]] * 3, *[[40]] * 5, *[[HIDDEN]] * 3, *[[40]] * 5, *[[HIDDEN]] * 3))
    outcome = run(make_config(), quiet)
    assert outcome.verdict is not None and outcome.verdict.passed, outcome.verdict.reasons
    frames = read(tmp_path / "released" / "clip.mp4")
    assert len(frames) == 19 and all(replaced(frame) for frame in frames)
    entries = read_ledger(open_storage(str(tmp_path / "released")), "clip.mp4")
    filled = [n for n, e in enumerate(entries) if e.picture.faces[0].detail == "between sightings"]
    assert filled == [0, 1, 2, 8, 9, 10, 16, 17, 18]
    assert len({entry.picture.faces[0].seed_id for entry in entries}) == 1


def test_a_face_seen_only_in_what_was_written_is_added(
    source: Path, tmp_path: Path, make_config: Make, quiet: Progress
) -> None:
    write_clip(source / "clip.mp4", shown([40, HIDDEN], [40, HIDDEN], [40, HIDDEN]))
    outcome = run(make_config(), quiet)
    assert outcome.verdict is not None and outcome.verdict.passed, outcome.verdict.reasons
    frames = read(tmp_path / "released" / "clip.mp4")
    assert len(frames) == 3 and all(replaced(frame, 1) for frame in frames)


@pytest.mark.parametrize("cut", [False, True])
def test_a_face_is_not_followed_into_another_scene_by_what_lies_in_its_place(
    source: Path, tmp_path: Path, make_config: Make, quiet: Progress, cut: bool
) -> None:
    there = picture()
    there[16:40, 8:22] = 170  # half of a face's square, and grey: like it to 0.5 to 0.8
    if cut:
        there[:, 60:] = np.kron(np.indices((8, 7)).sum(0) % 2, np.ones((8, 20)))[:, :, None] * 140 + 60
    write_clip(source / "clip.mp4", [*shown([40], [40], [40]), there, there, there])
    outcome = run(make_config(), quiet)
    assert outcome.verdict is not None and outcome.verdict.passed, outcome.verdict.reasons
    entries = read_ledger(open_storage(str(tmp_path / "released")), "clip.mp4")
    assert [len(entry.picture.faces) for entry in entries] == [1, 1, 1, *([0] * 3 if cut else [1] * 3)]


@pytest.mark.parametrize("times", [MAX_PASSES - 1, MAX_PASSES])
def test_faces_that_come_up_one_after_the_other_are_obscured_as_long_as_it_may_take(
    source: Path, tmp_path: Path, make_config: Make, quiet: Progress, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    write_clip(source / "clip.mp4", shown(*[[40]] * (MAX_PASSES + 2)))
    write_clip(source / "other.mp4", shown([], []))
    points = np.array([[96, 24], [104, 24], [100, 30], [97, 35], [103, 35]], np.float32)
    check, seen = VideoRelease._check, Detection((88, 16, 112, 40), 0.9, points)
    passes: list[int] = []

    def sees_another(self: VideoRelease, item: WorkItem, enrolled: Any, attempt: Any, draft: Any) -> None:
        check(self, item, enrolled, attempt, draft)
        if item.shard == "clip.mp4":
            passes.append(len(passes))
            attempt.left = {len(passes): [seen]} if len(passes) <= times else {}

    monkeypatch.setattr(VideoRelease, "_check", sees_another)
    outcome = run(make_config(run__max_withheld=0.5), quiet)
    assert len(passes) == MAX_PASSES
    if times == MAX_PASSES:
        assert outcome.run.withheld_shards == ["clip.mp4"]
        assert read_quarantine(open_storage(str(tmp_path / "released")), "clip.mp4")[0].reason == "face_left"
        return
    entries = read_ledger(open_storage(str(tmp_path / "released")), "clip.mp4")
    hidden = [n for n, e in enumerate(entries) if any(f.detail == "seen only after encoding" for f in e.picture.faces)]
    assert hidden == list(range(2, MAX_PASSES)), "in the frames in which they came up after the first"


def test_a_damaged_video_is_withheld_whole_and_the_others_are_released(
    source: Path, tmp_path: Path, make_config: Make, quiet: Progress
) -> None:
    for name in ("bad", "good", "fine"):
        write_clip(source / f"{name}.mkv", shown([40], [40], [40]))
    data = (source / "bad.mkv").read_bytes()
    (source / "bad.mkv").write_bytes(data[: len(data) * 3 // 4])
    outcome = run(make_config(run__max_withheld=0.5), quiet)
    assert outcome.verdict is not None and outcome.verdict.passed, outcome.verdict.reasons
    destination = open_storage(str(tmp_path / "released"))
    assert {entry.path for entry in destination.list()} == {"fine.mkv", "good.mkv", "RELEASE.json"}
    manifest = read_manifest(destination, "bad.mkv")
    assert manifest is not None and manifest.withheld.startswith("truncated") and not manifest.outputs
    assert outcome.withheld_share == pytest.approx(1 / 3)  # of the videos: nobody knows how many frames it had


def test_a_video_withheld_now_is_taken_out_of_an_earlier_release(
    source: Path, tmp_path: Path, make_config: Make, quiet: Progress
) -> None:
    for name in ("one", "two"):
        write_clip(source / f"{name}.mp4", shown([40], [40]))
    run(make_config(), quiet)
    (source / "one.mp4").write_bytes((source / "one.mp4").read_bytes()[:-200])
    outcome = run(make_config(run__max_withheld=0.6), quiet)
    assert outcome.run.withheld_shards == ["one.mp4"]
    assert not (tmp_path / "released" / "one.mp4").exists() and (tmp_path / "released" / "two.mp4").exists()


def test_a_failing_network_withholds_the_video(
    source: Path, tmp_path: Path, make_config: Make, make_context: Callable[..., object], quiet: Progress
) -> None:
    """As with every shard: an error is the stage's to retry, and nothing of the item is written."""
    write_clip(source / "clip.mp4", shown([40], [POISON], [40]))
    with pytest.raises(RuntimeError, match="poison"):
        anonymize(make_config(), quiet, FakeTools)
    assert list(open_storage(str(tmp_path / "released")).list()) == []


def test_a_video_that_kills_every_worker_is_withheld_unread(
    source: Path, tmp_path: Path, make_config: Make, quiet: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("bad", "good"):
        write_clip(source / f"{name}.mp4", shown([40], [40]))
    _failing(monkeypatch, AnonymizeWorker, poison=True, shards=("bad.mp4",))
    outcome = run(make_config(run__max_withheld=0.5), quiet)
    assert outcome.verdict is not None and outcome.verdict.passed, outcome.verdict.reasons
    destination = open_storage(str(tmp_path / "released"))
    assert {entry.path for entry in destination.list()} == {"good.mp4", "RELEASE.json"}
    (withheld,) = read_quarantine(destination, "bad.mp4")
    assert (withheld.key, withheld.reason) == ("bad.mp4:(all)", "not_read")
    assert outcome.run.withheld_shards == ["bad.mp4"]


def test_a_repeated_run_does_nothing_and_a_key_repeats_the_bytes(
    source: Path, tmp_path: Path, make_config: Make, quiet: Progress
) -> None:
    (tmp_path / "key").write_bytes(b"k" * 32)
    write_clip(source / "clip.mp4", shown(*[[40, 20]] * 6))
    config = make_config(run__key_file=str(tmp_path / "key"))
    run(config, quiet)
    written = (tmp_path / "released" / "clip.mp4").stat().st_mtime_ns
    assert len(run(config, quiet).run.manifests) == 1
    assert (tmp_path / "released" / "clip.mp4").stat().st_mtime_ns == written
    again = make_config(run__key_file=str(tmp_path / "key"), destination__uri=str(tmp_path / "again"))
    run(again, quiet)
    first, second = folder_digest(tmp_path / "released"), folder_digest(tmp_path / "again")
    assert first["clip.mp4"] == second["clip.mp4"]


def test_one_face_for_a_person_in_two_shots_only_where_that_is_asked_for(
    source: Path, tmp_path: Path, make_config: Make, quiet: Progress
) -> None:
    """Between the shots nobody is seen for two seconds."""
    times = [0.0, 0.04, 0.08, 1.0, 2.0, 2.04, 2.08]
    write_clip(source / "clip.mp4", shown(*[[40]] * 3, [], *[[40]] * 3), times)
    seeds = {}
    for identity in ("per_face", "per_subject"):
        places = {"destination__uri": str(tmp_path / identity), "anonymize__identity": identity}
        outcome = run(make_config(**places), quiet)
        assert outcome.verdict is not None and outcome.verdict.passed, outcome.verdict.reasons
        entries = read_ledger(open_storage(str(tmp_path / identity)), "clip.mp4")
        seeds[identity] = [face.seed_id for entry in entries for face in entry.picture.faces]
        report = json.loads((tmp_path / identity / "_cfanet" / "report.json").read_text())
        titles = {gap["title"] for gap in report["not_covered"]}
        assert ("Anonymity in the strict sense" in titles) == (identity == "per_subject")
    assert len(set(seeds["per_face"])) == 2 and len(set(seeds["per_subject"])) == 1


def test_from_bucket_to_bucket_the_bytes_are_the_same(
    source: Path, tmp_path: Path, make_config: Make, quiet: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_bytes(b"k" * 32)
    write_clip(source / "clip.mp4", shown(*[[40, 20]] * 4))
    run(make_config(run__key_file=str(tmp_path / "key")), quiet)
    with moto_server() as endpoint:
        for name, value in variables(endpoint).items():
            monkeypatch.setenv(name, value)
        bucket = Bucket(endpoint, "films")
        bucket.put("in/clip.mp4", (source / "clip.mp4").read_bytes())
        places = {"source__uri": "s3://films/in/clip.mp4", "destination__uri": "s3://films/out"}
        outcome = run(make_config(**places, run__key_file=str(tmp_path / "key")), quiet)
        assert outcome.verdict is not None and outcome.verdict.passed, outcome.verdict.reasons
        made = bucket.client.get_object(Bucket="films", Key="out/clip.mp4")["Body"].read()
    assert made == (tmp_path / "released" / "clip.mp4").read_bytes()


def test_the_audit_finds_a_frame_that_was_put_back(
    source: Path, tmp_path: Path, make_config: Make, quiet: Progress
) -> None:
    """Somebody swaps the released file for one in which a single frame shows the original."""
    from jobs.release import audit

    write_clip(source / "clip.mp4", shown(*[[40]] * 6), sound=False)
    config = make_config()
    run(config, quiet)
    target = tmp_path / "released" / "clip.mp4"
    frames = [frame.pixels for frame in read(target)]
    frames[3] = read(source / "clip.mp4")[3].pixels
    write_clip(target, frames, sound=False)
    outcome = audit(config, quiet, FakeTools)
    assert outcome.verdict is not None and not outcome.verdict.passed
    failed = {check.name for check in outcome.verdict.checks if not check.passed}
    assert {"unchanged_faces", "metadata", "reconciled", "mated_replaced:fake-judge"} <= failed
    assert not (tmp_path / "released" / "RELEASE.json").exists()


def test_real_networks_keep_one_face_through_a_clip(
    source: Path, tmp_path: Path, make_config: Make, quiet: Progress
) -> None:
    write_clip(source / "clip.mp4", pan(eileen_collins(), (230, 120), (-3, 1), 4))
    outcome = release(make_config(), quiet)
    assert outcome.verdict is not None and outcome.verdict.passed, outcome.verdict.reasons
    entries = read_ledger(open_storage(str(tmp_path / "released")), "clip.mp4")
    faces = [entry.picture.faces for entry in entries]
    assert [len(several) for several in faces] == [1] * 4
    assert len({several[0].seed_id for several in faces}) == 1
    assert len({several[0].requested_angle_deg for several in faces}) == 1
    before, after = read(source / "clip.mp4"), read(tmp_path / "released" / "clip.mp4")
    for old, new, (face,) in zip(before, after, faces, strict=True):
        x0, y0, x1, y1 = (int(v) for v in face.box)
        changed = np.abs(old.pixels.astype(int) - new.pixels)[y0:y1, x0:x1].mean()
        assert changed > 5, "encoding alone changes less"
