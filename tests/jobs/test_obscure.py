"""Faces that an audit or a person names: their shards are made anew with them covered, and all is judged again."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from cfanet.errors import InputError
from cfanet.images import decode
from cfanet.records import ImageArray
from jobs.cli import main
from jobs.config import ReleaseConfig
from jobs.ledger import read_ledger
from jobs.manifest import read_manifest
from jobs.obscure import name_faces
from jobs.obscure_list import NamedFace, ObscureList, obscure_path, read_obscure_lists, write_obscure_list
from jobs.progress import Progress
from jobs.release import Outcome, audit, release
from jobs.status import status
from jobs.storage import LocalStorage
from jobs.summary import print_summary
from tests.cfanet.clips import UNEVEN_S, write_clip
from tests.jobs.fakes import COVER, FakeTools, encoded, folder_digest, picture, read_tar, write_tar
from tests.jobs.leaky import leaky_tools
from tests.jobs.test_video import middle, read

Make = Callable[..., ReleaseConfig]
pytestmark = pytest.mark.usefixtures("inline")
ADA, BOB = 1, 60
LABELS = {"a": b'{"identity": "Ada Byron"}', "b": b'{"identity": "Bob Xu"}'}


UNLUCKY = leaky_tools({"a3": lambda original, anonymized: picture([BOB])})  # one picture shows another person


@pytest.fixture
def dataset(source: Path) -> Path:
    """Two people with eight pictures each: enough to know how alike pictures of one person are."""
    for shard, (name, shade) in enumerate({"a": ADA, "b": BOB}.items()):
        members = []
        for number in range(8):
            members += [(f"{name}{number}.png", encoded([shade])), (f"{name}{number}.json", LABELS[name])]
        write_tar(source / f"{shard}.tar", members)
    return source


@pytest.fixture
def refused(dataset: Path, make_config: Make, quiet: Progress) -> Outcome:
    """A release of which one face could be taken for a certain other person."""
    outcome = release(make_config(), quiet, UNLUCKY)
    assert outcome.verdict is not None and not outcome.verdict.passed
    return outcome


def decisions(destination: Path, shard: str) -> dict[str, tuple[str, str]]:
    entries = read_ledger(LocalStorage(destination), shard)
    return {
        f"{e.picture.sample_key}#{f.face_index}": (str(f.decision), f.detail) for e in entries for f in e.picture.faces
    }


def shown(destination: Path, shard: str, member: str) -> ImageArray:
    return decode(read_tar(destination / f"{shard}.tar")[member], 1.0).pixels


def test_a_refused_release_goes_out_without_the_face_that_was_to_blame(
    refused: Outcome, tmp_path: Path, make_config: Make, quiet: Progress
) -> None:
    config, place = make_config(), tmp_path / "released"
    other = folder_digest(place)["1.tar"]
    named = name_faces(config)
    why = "named by an audit: certain_collision:fake-judge"
    assert (dict(named.faces), named.shards, named.n_shards) == ({"a3#0": why}, ("0",), 2)
    found = status(str(place))
    assert (found.done, found.left, found.record["status"]) == (1, 1, "faces named")
    with pytest.raises(InputError, match=r"shard '0' were named .* run `cfanet release`"):
        audit(config, quiet, UNLUCKY)
    outcome = release(config, quiet, UNLUCKY)
    outcome.raise_for_status()
    assert outcome.run.context.run_id == refused.run.context.run_id
    assert folder_digest(place)["1.tar"] == other, "only the shard of that face is made anew"
    faces = decisions(place, "0")
    assert faces.pop("a3#0") == ("obscured", why) and set(faces.values()) == {("replaced", "")}
    assert (shown(place, "0", "a3.png")[28, 20] == COVER).all()
    assert "an earlier audit named them and they are obscured: 1." in (place / "_cfanet/report.json").read_text()
    assert json.loads((place / "RELEASE.json").read_text())["shards"].keys() == {"0.tar", "1.tar"}
    assert release(config, quiet, UNLUCKY).run.plan.todo == ()
    with pytest.raises(InputError, match=r"names no face to obscure \(it passed\): give faces"):
        name_faces(config)


def test_a_job_may_cover_them_itself(dataset: Path, tmp_path: Path, make_config: Make, quiet: Progress) -> None:
    outcome = release(make_config(run__obscure_rounds=1), quiet, UNLUCKY)
    outcome.raise_for_status()
    faces = decisions(tmp_path / "released", "0")
    assert [face for face, (decision, _) in faces.items() if decision != "replaced"] == ["a3#0"]
    record = json.loads((tmp_path / "released/_cfanet/run.json").read_text())
    assert (record["status"], record["counts"]["faces_obscured"]) == ("released", 1)
    assert len(record["key_fingerprints"]) == 1, "drawn once, so that all other faces stay what they were"


def test_a_job_that_is_refused_for_more_than_faces_is_not_made_again(
    dataset: Path, tmp_path: Path, make_config: Make, quiet: Progress
) -> None:
    write_tar(dataset / "2.tar", [("ada_byron.png", encoded([ADA])), ("ada_byron.json", LABELS["a"])])
    outcome = release(make_config(run__obscure_rounds=3), quiet, UNLUCKY)
    assert outcome.verdict is not None
    failed = [check.name for check in outcome.verdict.checks if check.decides and not check.passed]
    assert failed == ["certain_collision:fake-judge", "names"]
    assert read_obscure_lists(LocalStorage(tmp_path / "released")) == {}


def test_a_refusal_says_what_can_be_done_about_it(refused: Outcome, tmp_path: Path) -> None:
    console = Console(record=True, width=400)
    print_summary(console, refused)
    assert f"`cfanet obscure {tmp_path / 'released'}` names the faces" in console.export_text()


def test_a_person_names_a_face_of_a_sealed_release(
    dataset: Path, tmp_path: Path, make_config: Make, quiet: Progress, capsys: pytest.CaptureFixture[str]
) -> None:
    place, config = tmp_path / "released", make_config()
    release(config, quiet, FakeTools).raise_for_status()
    assert main(["obscure", str(place), "b2#0", "b5#0"]) == 0
    said = capsys.readouterr().out
    assert "b2#0  named by a person" in said and "1 of 2 shards are made anew, with 2 faces obscured" in said
    assert not (place / "RELEASE.json").exists(), "what it vouched for is no longer wanted"
    outcome = release(config, quiet, FakeTools)
    outcome.raise_for_status()
    assert [f for f, (decision, _) in decisions(place, "1").items() if decision == "obscured"] == ["b2#0", "b5#0"]
    assert "an earlier audit" not in (place / "_cfanet/report.json").read_text()
    with pytest.raises(InputError, match="'b2#0' is obscured already"):
        name_faces(config, ["b7#0", "b2#0"])
    name_faces(config, ["b7#0"])
    assert read_obscure_lists(LocalStorage(place))["1"].faces.keys() == {"b2#0", "b5#0", "b7#0"}


def test_a_face_that_is_not_there_changes_nothing(
    dataset: Path, tmp_path: Path, make_config: Make, quiet: Progress
) -> None:
    config = make_config()
    release(config, quiet, FakeTools)
    before = folder_digest(tmp_path / "released")
    for face in ("b2#1", "b9#0", "b2", "b2#x"):
        with pytest.raises(InputError, match=f"has no face '{face}'"):
            name_faces(config, ["b1#0", face])
    assert (
        folder_digest(tmp_path / "released") == before and read_obscure_lists(LocalStorage(tmp_path / "released")) == {}
    )


def test_a_key_of_two_shards_is_named_where_it_has_a_new_face(
    dataset: Path, tmp_path: Path, make_config: Make, quiet: Progress
) -> None:
    """Evidence names pictures without their shards."""
    write_tar(dataset / "2.tar", [("a1.png", encoded([BOB, ADA]))])
    config, place = make_config(), tmp_path / "released"
    release(config, quiet, FakeTools)
    assert name_faces(config, ["a1#0"]).shards == ("0", "2")
    release(config, quiet, FakeTools)
    (place / obscure_path("2")).unlink()  # as if only the other had been named
    release(config, quiet, FakeTools)
    assert name_faces(config, ["a1#0"]).shards == ("2",)


def test_a_destination_that_nobody_wrote(dataset: Path, make_config: Make) -> None:
    with pytest.raises(InputError, match="holds no run of this tool"):
        name_faces(make_config())


def test_one_frame_of_a_track_is_enough_to_cover_all_of_it(
    source: Path, tmp_path: Path, make_config: Make, quiet: Progress
) -> None:
    write_clip(source / "clip.mp4", [picture([40, 20])] * len(UNEVEN_S), UNEVEN_S)
    config = make_config(anonymize__min_replace_px=8.0)
    first = release(config, quiet, FakeTools)
    entries = read_ledger(first.run.storage, "clip.mp4")
    (left,) = [face for face in entries[3].picture.faces if face.box[0] < 30]
    name_faces(config, [f"{entries[3].picture.sample_key}#{left.face_index}"])
    release(config, quiet, FakeTools).raise_for_status()
    frames = read(tmp_path / "released" / "clip.mp4")
    assert len(frames) == len(UNEVEN_S)
    for frame in frames:
        assert np.ptp(middle(frame, 0)) < 40, "grey"
        assert middle(frame, 1)[2] > middle(frame, 1)[0] + 100, "blue: a new face"


def test_a_named_face_is_found_by_where_it_was() -> None:
    listed = ObscureList(faces={"p#1": NamedFace(box=(10, 10, 30, 30), why="so")})
    boxes = [(100.0, 10.0, 120.0, 30.0), (12.0, 11.0, 31.0, 31.0), (10.0, 10.0, 60.0, 60.0)]
    assert listed.among("p", boxes) == {1: "so"}
    assert listed.among("q", boxes) == {} == ObscureList().among("p", boxes)
    assert listed.pictures == {"p"} and len(listed.digest) == 64 and ObscureList().digest == ""
    assert ObscureList(faces={"p#1": NamedFace(box=(10, 10, 30, 31), why="so")}).digest != listed.digest


def test_a_damaged_list_stops_the_run(dataset: Path, tmp_path: Path, make_config: Make, quiet: Progress) -> None:
    place = LocalStorage(tmp_path / "released")
    config = make_config()
    release(config, quiet, FakeTools)
    write_obscure_list(place, "0", ObscureList(faces={"a1#0": NamedFace(box=(8, 16, 32, 40), why="so")}))
    file = tmp_path / "released" / obscure_path("0")
    file.write_text(file.read_text()[:40])
    with pytest.raises(InputError, match=r"obscure/0\.json is damaged: delete it"):
        release(config, quiet, FakeTools)
    manifest = read_manifest(place, "0")
    assert manifest is not None and manifest.obscure_sha256 == ""


def test_lists_of_shards_that_are_gone_go_too(
    dataset: Path, tmp_path: Path, make_config: Make, quiet: Progress
) -> None:
    config, place = make_config(), tmp_path / "released"
    release(config, quiet, FakeTools)
    name_faces(config, ["b1#0"])
    (dataset / "1.tar").unlink()
    (place / "1.tar").unlink()
    write_tar(dataset / "0.tar", [("new.png", encoded([ADA]))])
    release(config, quiet, FakeTools).raise_for_status()
    assert not (place / obscure_path("1")).exists()
