"""The preparation job: resumable, atomic, never mixing what does not go together."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from cfanet.errors import CfanetError, InputError
from jobs.codecs.shard import WorkItem
from jobs.config import ReleaseConfig
from jobs.layouts import recognise
from jobs.manifest import Counts
from jobs.pipeline import ShardReport
from jobs.prepare import Outcome, prepare
from jobs.prepared import SUMMARY_FILE
from jobs.progress import Progress
from tests.jobs.fakes import encoded, folder_digest, write_tar
from tests.jobs.s3 import Bucket, moto_server, variables
from tests.jobs.test_interrupt import _killed_at_the_end

Make = Callable[..., ReleaseConfig]
_SHARDS = 6
_SCRIPT = """
import io, sys
from contextlib import nullcontext
from rich.console import Console
import jobs.prepare, jobs.stages
from jobs.config import load_config
from jobs.layouts import recognise
from jobs.prepare import prepare
from jobs.progress import Progress
from tests.jobs.test_prepare import build_slow, run_stage
jobs.stages.run_stage, jobs.prepare.ray_session = run_stage, lambda config: nullcontext()
config = load_config(None, (), {"source.uri": sys.argv[1], "destination.uri": sys.argv[2], "run.workers": 2})
prepare(config, recognise(config), build_slow, Progress(Console(file=io.StringIO())))
"""


@dataclass
class FakePrepared:
    """A face for each picture that has bytes."""

    pictures: int = 0
    notes: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    people: Counter[str] = field(default_factory=Counter)
    text: str = ""

    def files(self) -> dict[str, bytes]:
        return {".npz": self.text.encode(), ".tar": self.text.encode() * 9} if self.text else {}


class FakePreparer:
    """Writes down keys and names."""

    def __init__(self, facts: Mapping[str, str], seconds: float = 0.0) -> None:
        self.facts = facts
        self._seconds = seconds

    def prepare(self, pictures: Iterable[tuple[str, bytes, str]]) -> FakePrepared:
        made = FakePrepared()
        for key, data, identity in pictures:
            time.sleep(self._seconds)
            made.pictures += 1
            if data == b"broken":
                raise ValueError("this one is no good")
            if data:
                made.people[identity] += 1
                made.notes["seen"] += 1
                made.text += f"{key}={identity}\n"
            else:
                made.left_out["empty"] += 1
        return made


def build(device: str) -> FakePreparer:
    return FakePreparer({"crop_size": "128"})


def build_other(device: str) -> FakePreparer:
    return FakePreparer({"crop_size": "256"})


def build_slow(device: str) -> FakePreparer:
    return FakePreparer({"crop_size": "128"}, 0.3)


def run_stage(worker: Any, context: Any, items: Sequence[WorkItem]) -> Iterator[ShardReport[Any]]:
    """Does a stage in this process, one shard after the other."""
    for item in items:
        try:
            yield ShardReport(item.shard, worker(context).process(item))
        except ValueError as error:
            yield ShardReport(item.shard, None, str(error))


def write_shards(source: Path, count: int = 2, first: bytes | None = None) -> None:
    for shard in range(count):
        members = [(f"{shard}-{n}.jpg", first if first is not None and n == 0 else encoded()) for n in range(2)]
        named = [(f"{shard}-1.json", json.dumps({"identity": f"person {shard % 2}"}).encode())]
        write_tar(source / f"{shard}.tar", members + named)


@pytest.fixture
def told() -> list[Counts]:
    """What workers told while they were busy."""
    return []


@pytest.fixture
def run(
    make_config: Make, quiet: Progress, told: list[Counts], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Outcome]:
    """Runs the job in this process."""

    def told_stage(worker: Any, context: Any, items: Sequence[WorkItem]) -> Iterator[ShardReport[Any]]:
        return run_stage(worker, replace(context, worked=told.append), items)

    monkeypatch.setattr("jobs.stages.run_stage", told_stage)
    monkeypatch.setattr("jobs.prepare.ray_session", lambda config: nullcontext())

    def run(build_: Callable[[str], FakePreparer] = build, layout: str = "auto", **values: object) -> Outcome:
        config = make_config(**values)
        return prepare(config, recognise(config, layout), build_, quiet)

    return run


Run = Callable[..., Outcome]


def test_shards_become_faces_with_names_and_counts(source: Path, tmp_path: Path, run: Run) -> None:
    write_shards(source, first=b"")
    outcome = run()
    assert (outcome.made, outcome.kept) == (2, 0)
    assert (tmp_path / "released/0.npz").read_text() == "0-1=person 0\n"
    summary = json.loads((tmp_path / "released" / SUMMARY_FILE).read_text())
    assert summary == json.loads(json.dumps(outcome.summary))
    assert (summary["pictures"], summary["faces"], summary["people"]) == (4, 2, 2)
    assert summary["left_out"] == {"empty": 2} and summary["notes"] == {"seen": 2}
    assert summary["by_shard"]["1"]["faces"] == 1


def test_pictures_are_told_as_they_are_read(source: Path, run: Run, told: list[Counts]) -> None:
    write_shards(source)
    run()
    assert told == [Counts(pictures=1)] * 4


def test_what_is_done_is_not_made_again(source: Path, tmp_path: Path, run: Run) -> None:
    write_shards(source, 3)
    run()
    before = folder_digest(tmp_path / "released")
    (tmp_path / "released/1.npz").unlink()
    write_shards(source, 1)  # the same bytes, another file
    again = run()
    assert (again.made, again.kept) == (2, 1)
    assert folder_digest(tmp_path / "released") == before


def test_shards_of_an_earlier_version_are_kept(source: Path, tmp_path: Path, run: Run) -> None:
    write_shards(source)
    (tmp_path / "released").mkdir()
    for name in ("0.npz", "0.tar", "1.tar"):  # the second was interrupted: its index is missing
        (tmp_path / "released" / name).write_text("old")
    assert (run().made, (tmp_path / "released/0.npz").read_text()) == (1, "old")
    assert (tmp_path / "released/1.tar").read_text() != "old"


def test_a_shard_that_left_the_source_leaves_the_output(source: Path, tmp_path: Path, run: Run) -> None:
    write_shards(source, 3)
    run()
    (source / "2.tar").unlink()
    assert run().summary["shards"] == 2
    assert sorted(path.name for path in (tmp_path / "released").glob("*.npz")) == ["0.npz", "1.npz"]


def test_two_sources_share_a_folder_unless_their_shards_have_one_name(source: Path, tmp_path: Path, run: Run) -> None:
    write_shards(source)
    run()
    other = tmp_path / "other"
    write_tar(other / "9.tar", [("9.jpg", encoded())])
    summary = run(source__uri=str(other)).summary
    assert (summary["shards"], summary["faces"], len(summary["sources"])) == (3, 5, 2)
    write_shards(other)
    with pytest.raises(InputError, match=r"holds a shard '0' made from .*source"):
        run(source__uri=str(other))


def test_other_settings_or_another_layout_are_refused(source: Path, run: Run) -> None:
    write_shards(source)
    run()
    with pytest.raises(InputError, match="was prepared with crop_size 128, not 256"):
        run(build_other)
    (source / "a.jpg").write_bytes(encoded())
    with pytest.raises(InputError, match="from SRC as webdataset, partition all, not as flat"):
        run(layout="flat")


def test_a_failed_shard_fails_the_job_and_keeps_the_others(source: Path, tmp_path: Path, run: Run) -> None:
    write_shards(source, 2)
    write_tar(source / "0-bad.tar", [("a.jpg", b"broken")])
    with pytest.raises(CfanetError, match=r"1 shards failed, the first is '0-bad' \(this one is no good\)"):
        run()
    assert sorted(path.name for path in (tmp_path / "released").glob("*.npz")) == ["0.npz", "1.npz"]
    assert json.loads((tmp_path / "released" / SUMMARY_FILE).read_text())["shards"] == 2


def test_damage_and_double_names_are_counted_or_told_apart(source: Path, tmp_path: Path, run: Run) -> None:
    for name in ("a.jpg", "a.png", "b.jpg"):
        (source / name).write_bytes(encoded())
    run()
    shard = (tmp_path / "released/source-000000.npz").read_text()
    assert shard == "a=\na.png=\nb=\n"
    write_tar(source / "cut" / "0.tar", [("x.jpg", encoded()), ("y.jpg", encoded())])
    data = (source / "cut/0.tar").read_bytes()
    (source / "cut/0.tar").write_bytes(data[:1024])
    cut = run(source__uri=str(source / "cut"), destination__uri=str(tmp_path / "cut"))
    assert cut.summary["left_out"] == {"truncated_shard": 1} and cut.summary["faces"] == 1


def test_nothing_usable_is_an_error_with_the_reasons(source: Path, run: Run) -> None:
    write_tar(source / "0.tar", [("a.jpg", b""), ("b.jpg", b"")])
    with pytest.raises(InputError, match=r"no face of SRC .* can be used \(2 empty\)"):
        run()


def test_a_folder_without_faces_takes_other_settings(source: Path, run: Run) -> None:
    write_tar(source / "0.tar", [("a.jpg", b"")])
    with pytest.raises(InputError, match="can be used"):
        run()
    write_tar(source / "1.tar", [("b.jpg", encoded())])
    outcome = run(build_other)
    assert outcome.made == 2 and outcome.summary["facts"] == {"crop_size": "256"}


def test_two_shards_of_one_name_are_refused(source: Path, run: Run) -> None:
    for name in ("a/b.tar", "a-b.tar"):
        write_tar(source / name, [("x.jpg", encoded())])
    with pytest.raises(InputError, match="two of its shards would have one name"):
        run()


def test_source_and_destination_apart(source: Path, run: Run) -> None:
    write_shards(source)
    with pytest.raises(InputError, match="lie inside each other"):
        run(destination__uri=str(source / "faces"))


def test_from_bucket_to_bucket(source: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shards(source)
    run()
    with moto_server() as endpoint:
        for name, value in variables(endpoint).items():
            monkeypatch.setenv(name, value)
        bucket = Bucket(endpoint, "prepare")
        for shard in range(2):
            bucket.put(f"in/{shard}.tar", (source / f"{shard}.tar").read_bytes())
        places = {"source__uri": "s3://prepare/in", "destination__uri": "s3://prepare/out"}
        assert run(**places).made == 2 and run(**places).kept == 2
        for name in ("0.npz", "0.tar", "1.npz", "1.tar"):
            assert bucket.get(f"out/{name}") == (tmp_path / "released" / name).read_bytes()
        assert json.loads(bucket.get("out/prepared.json"))["sources"] == ["s3://prepare/in"]


def test_killed_in_the_middle(source: Path, tmp_path: Path, run: Run) -> None:
    write_shards(source, _SHARDS)
    folder = tmp_path / "released"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", _SCRIPT, str(source), str(folder)]
    with subprocess.Popen(command, env=environment) as process, _killed_at_the_end(process):
        deadline = time.monotonic() + 240
        while len(list(folder.glob("*.npz"))) < 2:
            assert process.poll() is None and time.monotonic() < deadline, "the job ended before it could be killed"
            time.sleep(0.05)
    done = {path.stem: path.stat().st_mtime_ns for path in folder.glob("*.npz")}
    assert 2 <= len(done) < _SHARDS
    assert run().made == _SHARDS - len(done)
    assert all((folder / f"{shard}.npz").stat().st_mtime_ns == time_ for shard, time_ in done.items())
    run(destination__uri=str(tmp_path / "in one go"))
    assert folder_digest(folder) == folder_digest(tmp_path / "in one go")
