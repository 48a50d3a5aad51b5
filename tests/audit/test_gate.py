from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from audit.config import AuditSettings, GateSettings
from audit.evidence import Evidence
from audit.gate import Check, Verdict, decide
from audit.metrics import measure
from audit.records import AuditedFace, AuditedShard, FaceOrigin, ModelInfo, Reconciliation, RunInfo
from tests.audit.fakes import audited_shard, run_info, sqlite_at, write_run

CLEAN = audited_shard("a.tar", 401)
LEAKED = audited_shard("a.tar", 2, leaks=1).pictures[0].faces[0].comparisons
KEY, BOX = CLEAN.pictures[0].ledger.sample_key, (0.0, 0.0, 9.0, 9.0)


def _verdict(directory: Path, shard: AuditedShard, run: RunInfo | None = None, **gate: object) -> Verdict:
    settings = AuditSettings(recognizers=("fake",), gate=GateSettings(**gate))  # type: ignore[arg-type]
    with Evidence(sqlite_at(directory)) as evidence:
        rows = evidence.read_run(write_run(evidence, [shard], run))
        return decide(measure(rows, settings), settings.gate, rows)


def _check(verdict: Verdict, name: str) -> Check:
    (found,) = [check for check in verdict.checks if check.name == name]
    return found


def _with_first(**changes: object) -> AuditedShard:
    first = replace(CLEAN.pictures[0], **changes)  # type: ignore[arg-type]
    return replace(CLEAN, pictures=(first, *CLEAN.pictures[1:]))


def _extra_face(**changes: object) -> AuditedShard:
    face = AuditedFace(KEY, 0, FaceOrigin.SECOND_DETECTOR, "", BOX, None, unchanged=True)
    return _with_first(faces=(*CLEAN.pictures[0].faces, replace(face, **changes)))  # type: ignore[arg-type]


def test_a_clean_run_passes(tmp_path: Path) -> None:
    verdict = _verdict(tmp_path, CLEAN)
    assert verdict.passed
    assert verdict.reasons == ()
    assert sum(check.decides for check in verdict.checks) >= 8


@pytest.mark.parametrize(
    ("name", "shard"),
    [
        ("mated_replaced:fake", audited_shard("a.tar", 401, leaks=5)),
        ("mated_unrecorded:fake", _extra_face(origin=FaceOrigin.GALLERY, unchanged=False, comparisons=LEAKED)),
        ("unchanged_faces", _with_first(faces=(replace(CLEAN.pictures[0].faces[0], unchanged=True),))),
        ("missed_faces", _extra_face()),
        ("missed_faces", _extra_face(unchanged=None)),
        ("unverified_faces", _with_first(faces=(replace(CLEAN.pictures[0].faces[0], fta=True, comparisons=()),))),
        ("unexamined_pictures", _with_first(faces=(), examined=False)),
        ("metadata", _with_first(findings=("JPEG EXIF",))),
        ("reconciled", replace(CLEAN, account=Reconciliation(401, 399, 1, lost=("x",)))),
        ("reconciled", replace(CLEAN, account=Reconciliation(401, 401, 1, repeated=("x",)))),
        ("reconciled", replace(CLEAN, account=Reconciliation(401, 401, 1, unexpected=("x",)))),
    ],
)  # fmt: skip
def test_each_planted_leak_refuses_by_its_own_check(tmp_path: Path, name: str, shard: AuditedShard) -> None:
    verdict = _verdict(tmp_path, shard)
    assert not verdict.passed
    failed = [check.name for check in verdict.checks if check.decides and not check.passed]
    assert name in failed
    assert set(failed) <= {name, name.replace("mated_", "identified_"), name.replace("mated_replaced", "certain_match")}
    assert len(verdict.reasons) == len(failed)
    assert _check(verdict, name).n_offenders > 0


def test_a_face_that_changed_outside_the_ledger_does_not_refuse(tmp_path: Path) -> None:
    assert _verdict(tmp_path, _extra_face(unchanged=False)).passed


def test_a_judge_that_guided_cannot_be_the_only_one(tmp_path: Path) -> None:
    judge = ModelInfo("fake", "auditor", "d" * 64)
    run = run_info(models=(judge, ModelInfo("fake", "loop_recognizer", "d" * 64)))
    verdict = _verdict(tmp_path, CLEAN, run)
    assert not _check(verdict, "independent_judge").passed
    assert not verdict.passed
    assert _verdict(tmp_path, CLEAN, run, require_independent=False).passed


def test_few_faces_pass_but_the_report_says_what_they_cannot_show(tmp_path: Path) -> None:
    few, many = _verdict(tmp_path, audited_shard("a.tar", 30)), _verdict(tmp_path, CLEAN)
    assert few.passed
    assert "too few for a claim of 1\u00a0%" in _check(few, "mated_replaced:fake").detail
    assert "too few" not in _check(many, "mated_replaced:fake").detail


def _obscured(n: int, identified: int, matched: int) -> AuditedShard:
    """`n` obscured faces of which some are matched, and of those some first in the gallery."""
    pictures = []
    for i in range(n):
        shown = audited_shard("a.tar", 11, start=20 * i).pictures[9]
        face = shown.faces[0]
        mated = replace(face.comparisons[0], similarity=0.9 if i < matched else 0.1)
        found = replace(face.searches[0], true_rank=1 if i < identified else 7)
        pictures.append(replace(shown, faces=(replace(face, comparisons=(mated,), searches=(found,)),)))
    return replace(CLEAN, pictures=tuple(pictures))


@pytest.mark.parametrize(
    ("n", "identified", "matched", "passed"),
    [(12, 0, 12, True), (12, 1, 3, True), (2, 2, 2, False), (60, 9, 9, False), (60, 9, 0, True)],
)
def test_obscured_faces_are_judged_by_who_is_found_first(
    tmp_path: Path, n: int, identified: int, matched: int, passed: bool
) -> None:
    verdict = _verdict(tmp_path, _obscured(n, identified, matched))
    check = _check(verdict, "identified_obscured:fake")
    assert (check.passed, verdict.passed) == (passed, passed)
    assert check.rate is not None
    assert (check.rate.hits, check.rate.n) == (min(identified, matched), n)


def test_the_upper_limit_can_decide(tmp_path: Path) -> None:
    assert not _verdict(tmp_path, audited_shard("a.tar", 30), max_mated_upper=0.05).passed
    assert _verdict(tmp_path, CLEAN, max_mated_upper=0.05).passed


def test_collisions_are_reported_and_decide_only_with_a_limit(tmp_path: Path) -> None:
    check = _check(_verdict(tmp_path, CLEAN), "collision:fake")
    assert (check.decides, check.limit) == (False, None)
    assert check.rate is not None
    assert check.rate.n == 360
    limited = _check(_verdict(tmp_path, CLEAN, max_collision_excess=0.0), "collision:fake")
    assert limited.decides
    assert limited.limit is not None


def test_limits_are_limits_and_not_less(tmp_path: Path) -> None:
    shard = _with_first(findings=("JPEG EXIF",))
    assert _verdict(tmp_path, shard, max_metadata_findings=1).passed
    rate = 5 / 360
    leaky = audited_shard("a.tar", 401, leaks=5)
    limits = {"max_mated_rate": rate, "max_identified_rate": rate}
    assert _verdict(tmp_path, leaky, max_certain_matches=5, **limits).passed
    assert not _verdict(tmp_path, leaky, max_certain_matches=4, **limits).passed
    for name in limits:
        assert not _verdict(tmp_path, leaky, max_certain_matches=5, **{**limits, name: rate - 1e-9}).passed


def test_offenders_are_cut_but_counted(tmp_path: Path) -> None:
    check = _check(_verdict(tmp_path, audited_shard("a.tar", 401, leaks=45)), "mated_replaced:fake")
    assert (len(check.offenders), check.n_offenders) == (20, 41)


def test_unknown_keys_and_impossible_limits_are_errors() -> None:
    with pytest.raises(ValidationError):
        GateSettings(max_mated=0.1)  # type: ignore[call-arg]
    with pytest.raises(ValidationError):
        GateSettings(max_mated_rate=1.5)
