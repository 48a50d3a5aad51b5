"""Which faces an audit names to be obscured: those of checks of single faces, and of no rate."""

from dataclasses import replace
from pathlib import Path

import pytest

from audit.config import AuditSettings, GateSettings
from audit.evidence import Evidence
from audit.gate import Check, decide
from audit.intervals import rate
from audit.metrics import measure
from audit.named import named_faces, names_faces
from audit.records import NAMED_BY_AUDIT, AuditedFace, AuditedShard
from cfanet.records import Comparison, FaceDecision
from tests.audit.fakes import audited_shard, sqlite_at, write_run

CLEAN = audited_shard("a.tar", 401)


def _decided(directory: Path, shard: AuditedShard, **gate: object) -> tuple[dict[str, str], bool, dict[str, Check]]:
    """Named faces, whether there are any by the verdict alone, and the checks; no stranger looks like another."""
    settings = AuditSettings(recognizers=("fake",), gate=GateSettings(**gate))  # type: ignore[arg-type]
    with Evidence(sqlite_at(directory)) as evidence:
        rows = evidence.read_run(write_run(evidence, [shard]))
    (known,) = rows.calibrations
    assert known.certain is not None
    certain = replace(known.certain, strangers=rate(0, 200, 0.95))
    rows = replace(rows, calibrations=(replace(known, certain=certain),))
    measured = measure(rows, settings)
    verdict = decide(measured, settings.gate, rows)
    return named_faces(measured, verdict), names_faces(verdict), {check.name: check for check in verdict.checks}


def _second_face(**changes: object) -> AuditedShard:
    picture = CLEAN.pictures[1]
    face: AuditedFace = replace(picture.faces[0], **changes)  # type: ignore[arg-type]
    return replace(CLEAN, pictures=(CLEAN.pictures[0], replace(picture, faces=(face,)), *CLEAN.pictures[2:]))


@pytest.mark.parametrize("kind", ["certain_match", "certain_collision", "certain_outside"])
def test_a_face_that_refuses_a_release_alone_is_named_with_the_check(tmp_path: Path, kind: str) -> None:
    (mated, *rest), (search,) = CLEAN.pictures[1].faces[0].comparisons, CLEAN.pictures[1].faces[0].searches
    outside = Comparison("fake", "outside", "r:k = v#0", 0.99, 8.0, 0.6)
    shard = {
        "certain_match": _second_face(comparisons=(replace(mated, similarity=0.99), *rest)),
        "certain_collision": _second_face(searches=(replace(search, best_other_similarity=0.99),)),
        "certain_outside": _second_face(comparisons=(mated, *rest, outside)),
    }[kind]
    named, any_named, _ = _decided(tmp_path, shard)
    assert named == {"a.tar/00001#0": f"{NAMED_BY_AUDIT}: {kind}:fake"} and any_named


def test_a_rate_that_is_too_high_names_nobody(tmp_path: Path) -> None:
    named, any_named, checks = _decided(tmp_path, audited_shard("a.tar", 401, leaks=30), max_certain_matches=None)
    assert not checks["mated_replaced:fake"].passed
    assert not named and not any_named


def test_a_clean_release_names_nobody(tmp_path: Path) -> None:
    assert _decided(tmp_path, CLEAN)[:2] == ({}, False)


def test_the_rate_says_how_many_faces_it_no_longer_counts(tmp_path: Path) -> None:
    (recorded,) = CLEAN.pictures[1].ledger.faces
    covered = replace(recorded, decision=FaceDecision.OBSCURED, detail=f"{NAMED_BY_AUDIT}: certain_match:fake")
    picture = CLEAN.pictures[1]
    face = replace(picture.faces[0], record=covered)
    shard = replace(
        CLEAN,
        pictures=(
            CLEAN.pictures[0],
            replace(picture, ledger=replace(picture.ledger, faces=(covered,)), faces=(face,)),
            *CLEAN.pictures[2:],
        ),
    )
    detail = _decided(tmp_path, shard)[2]["mated_replaced:fake"].detail
    assert detail.endswith("because an earlier audit named them and they are obscured: 1.")
    assert "an earlier audit" not in _decided(tmp_path, CLEAN)[2]["mated_replaced:fake"].detail
