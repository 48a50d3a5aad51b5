"""The auditing worker: it believes the released files, and nothing else."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from audit.gallery import ShardStamp, write_shard
from audit.records import EnrolledFace, EnrolledPicture, FaceOrigin
from jobs.anonymize import AnonymizeWorker
from jobs.audit import AuditContext, AuditResult, AuditWorker, outputs_digest
from jobs.config import ReleaseConfig
from jobs.enrol import EnrolWorker
from jobs.manifest import read_manifest
from jobs.plan import read_source
from jobs.stages import _values
from jobs.storage import LocalStorage, write_bytes
from jobs.worker import JobContext
from tests.jobs.fakes import FakeDetector, encoded, picture, read_tar, write_tar

Make = Callable[..., ReleaseConfig]
MakeContext = Callable[[ReleaseConfig], JobContext]
MEMBERS = [(f"{i}.png", encoded([i] * (i % 3))) for i in range(1, 7)] + [("bad.png", b""), ("x.json", b"{}")]


@pytest.fixture
def audit(make_context: MakeContext) -> Callable[[ReleaseConfig], list[AuditResult]]:
    """Audits what a configuration's destination holds."""

    def build(config: ReleaseConfig) -> list[AuditResult]:
        context = AuditContext(**_values(make_context(config)), thresholds={"fake-judge": 0.5})
        worker = AuditWorker(context)
        return [worker.process(item) for item in read_source(config)[1]]

    return build


@pytest.fixture
def released(source: Path, tmp_path: Path, make_config: Make, make_context: MakeContext) -> ReleaseConfig:
    """One shard, anonymized."""
    write_tar(source / "s.tar", MEMBERS)
    config = make_config()
    context = make_context(config)
    (item,) = read_source(config)[1]
    EnrolWorker(context).process(item)
    AnonymizeWorker(context).process(item)
    return config


def test_a_good_shard_adds_up_and_every_face_is_compared(
    released: ReleaseConfig, audit: Callable[[ReleaseConfig], list[AuditResult]]
) -> None:
    (result,) = audit(released)
    shard = result.shard
    assert shard.account.holds
    assert (shard.account.n_source, shard.account.n_output, shard.account.n_quarantined) == (8, 6, 2)
    assert sorted(picture.ledger.sample_key for picture in shard.pictures) == sorted([*"123456", "bad", "x"])
    faces = [face for picture in shard.pictures for face in picture.faces]
    assert len(faces) == 6
    for face in faces:
        assert face.origin is FaceOrigin.LEDGER and face.unchanged is False and not face.fta
        assert face.comparisons[0].kind == "mated" and face.comparisons[0].passed
        assert not face.embeddings
    assert not [finding for picture in shard.pictures for finding in picture.findings]


def test_other_galleries_are_searched_by_name(
    released: ReleaseConfig, tmp_path: Path, make_config: Make, audit: Callable[[ReleaseConfig], list[AuditResult]]
) -> None:
    blue = np.array([-80.0, -60.0, 140.0], np.float32)
    face = EnrolledFace("k", 0, "", FakeDetector().detect(picture([1]))[0], {"fake-judge": blue / np.linalg.norm(blue)})
    write_shard(tmp_path / "release-1", "s", [EnrolledPicture("k", "0" * 64, (face,))], ShardStamp("", ""))
    config = make_config(audit__outside_galleries=[str(tmp_path / "release-1")])
    faces = [face for picture in audit(config)[0].shard.pictures for face in picture.faces]
    assert len(faces) == 6
    for examined in faces:
        (outside,) = [c for c in examined.comparisons if c.kind == "outside"]
        assert outside.reference_id == "release-1:k#0" and not outside.passed


def _rewrite(tmp_path: Path, members: dict[str, bytes]) -> None:
    shutil.rmtree(tmp_path / "rewritten", ignore_errors=True)
    write_tar(tmp_path / "released" / "s.tar", list(members.items()))


def test_an_original_put_back_is_found(
    released: ReleaseConfig, tmp_path: Path, audit: Callable[[ReleaseConfig], list[AuditResult]]
) -> None:
    members = read_tar(tmp_path / "released/s.tar")
    members["2.png"] = dict(MEMBERS)["2.png"]
    _rewrite(tmp_path, members)
    (result,) = audit(released)
    (picture,) = [p for p in result.shard.pictures if p.ledger.sample_key == "2"]
    assert picture.findings and all(face.unchanged for face in picture.faces)
    assert not result.shard.account.holds


def test_lost_added_and_released_quarantined_samples_are_found(
    released: ReleaseConfig, tmp_path: Path, audit: Callable[[ReleaseConfig], list[AuditResult]]
) -> None:
    members = read_tar(tmp_path / "released/s.tar")
    del members["3.png"]
    _rewrite(tmp_path, {**members, "bad.png": encoded([1]), "new.png": encoded([1])})
    account = audit(released)[0].shard.account
    assert account.lost == ("3",)
    assert account.repeated == ("bad",)
    assert "new" in account.unexpected


def test_a_cut_output_is_found(
    released: ReleaseConfig, tmp_path: Path, audit: Callable[[ReleaseConfig], list[AuditResult]]
) -> None:
    path = tmp_path / "released/s.tar"
    path.write_bytes(path.read_bytes()[:1500])
    account = audit(released)[0].shard.account
    assert account.lost and not account.holds


def test_a_face_that_the_ledger_does_not_know_is_examined(
    released: ReleaseConfig,
    audit: Callable[[ReleaseConfig], list[AuditResult]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from dataclasses import replace

    from jobs import audit as module

    def forget(destination: object, shard: str) -> list[object]:
        entries = read(destination, shard)  # type: ignore[arg-type]
        return [replace(entry, picture=replace(entry.picture, faces=())) for entry in entries]

    read = module.read_ledger
    monkeypatch.setattr(module, "read_ledger", forget)
    faces = [face for picture in audit(released)[0].shard.pictures for face in picture.faces]
    assert faces and {face.origin for face in faces} == {FaceOrigin.GALLERY}


def test_folders_are_audited_alike(
    source: Path,
    make_config: Make,
    make_context: MakeContext,
    audit: Callable[[ReleaseConfig], list[AuditResult]],
) -> None:
    for name, data in {"d/1.png": encoded([1]), "d/2.png": encoded(), "3.jpg": b"", "notes.txt": b""}.items():
        write_bytes(LocalStorage(source), name, data)
    config = make_config(run__files_per_shard=3)
    context = make_context(config)
    for item in read_source(config)[1]:
        EnrolWorker(context).process(item)
        AnonymizeWorker(context).process(item)
    first, second = audit(config)
    assert first.shard.account.holds and second.shard.account.holds
    assert (first.shard.account.n_source, first.shard.account.n_quarantined) == (3, 1)
    assert second.shard.account.n_source == 0
    assert [len(p.faces) for p in first.shard.pictures] == [1, 0, 0]


def test_the_digest_of_a_tar_is_its_own(released: ReleaseConfig, tmp_path: Path) -> None:
    manifest = read_manifest(LocalStorage(tmp_path / "released"), "s")
    assert manifest is not None and outputs_digest(manifest) == manifest.outputs[0].sha256
