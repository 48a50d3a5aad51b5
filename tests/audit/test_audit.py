"""The whole audit as the package's docstring shows it: originals and released files in, verdict and report out."""

import json
from pathlib import Path

import pytest

from audit.calibration import calibrate
from audit.config import AuditSettings
from audit.enrol import Enroller, Original, Pseudonyms
from audit.evidence import Evidence
from audit.gallery import ShardStamp, gallery_rows, has_shard, open_gallery, read_shard, seal, write_shard
from audit.gate import Verdict, decide
from audit.metrics import measure
from audit.reconcile import reconcile
from audit.records import AuditedPicture, AuditedShard, AuditTask, LedgerPicture
from audit.release import ReleaseContents, settle_release
from audit.report import build_report, write_report
from audit.verification import Auditor, search_gallery
from cfanet.records import ImageStatus
from tests.audit.fakes import (
    FakeDetector,
    FakeRecognizer,
    FakeSecondDetector,
    face_record,
    picture,
    png,
    run_info,
    sha256,
    sqlite_at,
)

BOX, SHARD = (20.0, 20.0, 90.0, 90.0), "train-000000.tar"
N, AT = 40, "2026-01-05T10:09:00Z"


def _audit(root: Path, leaks: int) -> Verdict:
    """Forty pictures of forty people; the first `leaks` are released as they were, the last is withheld."""
    recognizer, settings = FakeRecognizer(), AuditSettings(recognizers=("fake",))
    keys = [f"{i:04d}" for i in range(N)]
    originals = {key: picture((BOX, i)) for i, key in enumerate(keys)}
    released = {key: picture((BOX, i if i < leaks else 100 + i)) for i, key in enumerate(keys[:-1])}
    gallery_dir, stamp = root / "gallery", ShardStamp("etag", "settings")

    assert not has_shard(gallery_dir, SHARD, stamp)
    enroller = Enroller(FakeDetector(BOX), {"fake": recognizer}, Pseudonyms.of_gallery(gallery_dir))
    sources = [Original(key, sha256(key.encode()), originals[key], f"person {key}") for key in keys]
    write_shard(gallery_dir, SHARD, enroller.enrol(sources), stamp)
    snapshot = seal(gallery_dir)
    galleries = {"fake": open_gallery(gallery_dir, "fake")}
    calibration = calibrate(recognizer, galleries["fake"], settings.fmr)
    thresholds = {"fake": calibration.threshold}

    enrolled = {known.sample_key: known for known in read_shard(gallery_dir, SHARD)}
    auditor = Auditor({"fake": recognizer}, FakeSecondDetector(BOX), thresholds, settings)
    tasks = []
    for key, image in released.items():
        data = png(image)
        ledger = LedgerPicture(
            key, ImageStatus.ANONYMIZED, "", sha256(key.encode()), sha256(data), (face_record(0, BOX),)
        )
        tasks.append(AuditTask(ledger, enrolled[key], data, originals[key]))
    examined = search_gallery(auditor.audit(tasks), galleries, thresholds)
    withheld = LedgerPicture(keys[-1], ImageStatus.QUARANTINED, "truncated: 3 bytes", sha256(b""), "", ())
    account = reconcile(keys, released, keys[-1:])
    shard = AuditedShard(SHARD, "etag", sha256(b"shard"), account, (*examined, AuditedPicture(withheld)))

    with Evidence(sqlite_at(root)) as evidence:
        run = run_info()
        evidence.begin_run(run)
        evidence.write_gallery(run.run_id, snapshot, gallery_rows(gallery_dir))
        evidence.write_thresholds(run.run_id, [calibration])
        evidence.write_shard(run.run_id, shard)
        rows = evidence.read_run(run.run_id, settings.gate.confidence)
        measured = measure(rows, settings)
        verdict = decide(measured, settings.gate, rows)
        evidence.finish_run(run.run_id, measured.metrics, verdict, AT)
        write_report(build_report(rows, measured, verdict, settings, AT), root / "report")
        contents = ReleaseContents(run.run_id, AT, {SHARD: shard.output_sha256}, {}, evidence.digest(run.run_id))
    settle_release(root / "RELEASE.json", verdict, contents)
    return verdict


def test_a_clean_dataset_is_released(tmp_path: Path) -> None:
    verdict = _audit(tmp_path, leaks=0)
    assert verdict.passed, verdict.reasons
    promise = json.loads((tmp_path / "RELEASE.json").read_text())
    assert promise["shards"] == {SHARD: sha256(b"shard")}
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["measured"]["statuses"]["quarantined"] == 1
    assert report["withheld"] == {"truncated": 1}
    assert report["calibrations"][0]["source"] == "published"


@pytest.mark.parametrize("leaks", [1, 5])
def test_a_single_face_left_as_it_was_is_found_and_named(tmp_path: Path, leaks: int) -> None:
    verdict = _audit(tmp_path, leaks)
    assert not verdict.passed
    found = {check.name: check.offenders for check in verdict.checks if check.decides and not check.passed}
    wanted = tuple(f"{i:04d}#0" for i in range(leaks))
    assert found == {"mated_replaced:fake": wanted, "identified_replaced:fake": wanted, "unchanged_faces": wanted}
    assert not (tmp_path / "RELEASE.json").exists()


def test_nothing_biometric_leaves_the_gallery(tmp_path: Path) -> None:
    _audit(tmp_path, leaks=0)
    vector = FakeRecognizer().vector(3)
    outside = [path for path in tmp_path.rglob("*") if path.is_file() and "gallery" not in path.parts]
    assert len(outside) == 4
    for path in outside:
        data = path.read_bytes()
        assert vector[:2].tobytes() not in data
        assert b"person 0003" not in data
