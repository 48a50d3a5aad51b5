"""A released dataset, then one change: `audit verify` finds it, and says where."""

import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from audit.gallery import ShardStamp, snapshot_of, write_shard
from audit.records import EnrolledPicture
from cfanet.errors import GateRefused, InputError
from jobs.cli import main
from jobs.config import ReleaseConfig
from jobs.gallery_store import GalleryStore
from jobs.progress import Progress
from jobs.query import answer
from jobs.release import audit, release, report
from jobs.verify import verify
from tests.audit.test_erase import face
from tests.jobs.fakes import FakeTools, encoded, write_tar

Make = Callable[..., ReleaseConfig]
pytestmark = pytest.mark.usefixtures("inline")


@pytest.fixture
def released(source: Path, make_config: Make, quiet: Progress) -> ReleaseConfig:
    """Two shards, released; the sidecars are kept."""
    for shard in range(2):
        members = [(f"{shard}{n}.png", encoded([1 + n])) for n in range(3)]
        sidecar = b'{"identity": "Ada Byron", "age": "30s"}'
        write_tar(
            source / f"{shard}.tar",
            [members[0], (f"{shard}0.json", sidecar), (f"{shard}0.txt", b"a portrait"), *members[1:]],
        )
    gate = {"audit__gate__require_independent": False}
    config = make_config(destination__keep_members=["txt"], source__label_fields=["age"], **gate)
    assert release(config, quiet, FakeTools).verdict.passed  # type: ignore[union-attr]
    return config


def test_what_was_not_touched_holds(released: ReleaseConfig, capsys: pytest.CaptureFixture[str]) -> None:
    found = verify(released)
    assert found.sealed and found.n_files >= 8 and found.n_tables == 15
    assert verify(released, found.head) == found
    assert main(["audit", "verify", released.destination.uri, "--expect", found.head]) == 0
    assert found.head in capsys.readouterr().out
    with pytest.raises(GateRefused, match="not the expected one"):
        verify(released, "0" * 64)
    assert not (Path(released.gallery_uri) / "probes").exists(), "released embeddings stay behind"


@pytest.mark.parametrize("name", ["0.tar", "_cfanet/report.html", "_cfanet/report.json", "_cfanet/ledger/1.parquet"])
def test_one_flipped_byte_is_found(released: ReleaseConfig, name: str) -> None:
    path = Path(released.destination.uri) / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(GateRefused, match=f"file {name} was changed"):
        verify(released)
    assert main(["audit", "verify", released.destination.uri]) == 3


def test_an_edited_row_a_swapped_shard_and_an_added_file_are_found(released: ReleaseConfig) -> None:
    root = Path(released.destination.uri)
    first, second = (root / "0.tar").read_bytes(), (root / "1.tar").read_bytes()
    (root / "0.tar").write_bytes(second)
    (root / "1.tar").write_bytes(first)
    (root / "thumb.png").write_bytes(encoded([1]))
    with sqlite3.connect(root / "_cfanet/evidence.sqlite") as connection:
        assert connection.execute("UPDATE comparison SET similarity = similarity - 0.001 WHERE id = 1").rowcount == 1
    connection.close()
    with pytest.raises(GateRefused) as error:
        verify(released)
    for words in ("0.tar was changed", "1.tar was changed", "thumb.png was added", "table comparison was changed"):
        assert words in str(error.value)


def test_another_audit_refuses_a_stray_file_and_a_name(released: ReleaseConfig, quiet: Progress) -> None:
    write_tar(Path(released.destination.uri) / "ada_byron.tar", [("1.png", encoded([1]))])
    verdict = audit(released, quiet, FakeTools).verdict
    assert verdict is not None and not verdict.passed
    failed = {check.name for check in verdict.checks if check.decides and not check.passed}
    assert failed == {"stray_files", "names"}
    assert not (Path(released.destination.uri) / "RELEASE.json").exists()


def test_the_evidence_stands_without_the_embeddings(released: ReleaseConfig) -> None:
    """The gallery is biometric data: once it is deleted, everything that was decided can still be shown and checked."""
    before = verify(released)
    GalleryStore(released.gallery_uri).remove()
    assert not Path(released.gallery_uri).exists()
    assert verify(released) == before
    outcome = report(released, FakeTools)
    assert outcome.verdict is not None and outcome.verdict.passed
    assert verify(released).sealed
    seal = json.loads((Path(released.destination.uri) / "RELEASE.json").read_text())
    assert seal["policy"]["max_mated_rate"] == released.audit.gate.max_mated_rate


def test_other_galleries_are_evidence_by_their_digests(
    source: Path, make_config: Make, quiet: Progress, tmp_path: Path
) -> None:
    """Both are searched, although they have one name, and nothing is written into them."""
    write_tar(source / "s.tar", [("a.png", encoded([1]))])
    galleries = [tmp_path / year / "known" for year in ("2024", "2025")]
    for number, folder in enumerate(galleries):
        picture = EnrolledPicture(f"k{number}", "0" * 64, (face(f"k{number}", 0, "", number),))
        vector = np.array([0.6, 0.8, 0.0], np.float32)
        picture = replace(picture, faces=(replace(picture.faces[0], embeddings={"fake-judge": vector}),))
        write_shard(folder, "s", [picture], ShardStamp("", ""))
    config = make_config(audit__outside_galleries=[str(folder) for folder in galleries])
    release(config, quiet, FakeTools).raise_for_status()
    report = json.loads((Path(config.destination.uri) / "_cfanet/report.json").read_text())
    found = {one["name"]: one["sha256"] for one in report["outside_galleries"]}
    assert found == {f"{year}/known": snapshot_of(tmp_path / year / "known").sha256 for year in ("2024", "2025")}
    assert "2024/known" in (Path(config.destination.uri) / "_cfanet/report.html").read_text()
    assert not [path for folder in galleries for path in folder.iterdir() if path.name != "shards"]
    assert answer(config, "galleries").row_count == 3 and verify(config).n_tables == 16
    with sqlite3.connect(Path(config.destination.uri) / "_cfanet/evidence.sqlite") as connection:
        assert connection.execute("UPDATE outside_gallery SET n_references = 7 WHERE id = 1").rowcount == 1
    connection.close()
    with pytest.raises(GateRefused, match="table outside_gallery was changed"):
        verify(config)


def test_questions_are_answered_and_listed(
    released: ReleaseConfig, capsys: pytest.CaptureFixture[str], make_config: Make
) -> None:
    table = answer(released, "strata")
    assert table.row_count == 5  # size, share in the picture, pose, score, age
    assert main(["audit", "query"]) == 0
    assert "matched" in capsys.readouterr().out
    assert main(["audit", "query", "metrics", released.destination.uri]) == 0
    assert main(["audit", "query", "rubbish", released.destination.uri]) == 2
    with pytest.raises(InputError, match="was never judged"):
        answer(make_config(destination__uri="/nowhere"), "matched")
