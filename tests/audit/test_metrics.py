from dataclasses import replace
from pathlib import Path

import pytest

from audit.config import AuditSettings
from audit.evidence import Evidence
from audit.intervals import clopper_pearson
from audit.metrics import Measurements, measure
from audit.records import AuditedFace, AuditedShard, FaceOrigin, ModelInfo, RunInfo
from tests.audit.fakes import audited_shard, run_info, sqlite_at, write_run

SETTINGS = AuditSettings(recognizers=("fake",), worst_cases=5)


def _measure(directory: Path, *shards: AuditedShard, run: RunInfo | None = None) -> Measurements:
    with Evidence(sqlite_at(directory)) as evidence:
        return measure(evidence.read_run(write_run(evidence, shards, run)), SETTINGS)


def test_rates_count_replaced_and_obscured_faces_apart(tmp_path: Path) -> None:
    found = _measure(tmp_path, audited_shard("a.tar", 41, leaks=3), audited_shard("b.tar", 11, start=41))
    (judge,) = found.judgements
    assert found.statuses == {"anonymized": 45, "no_face": 0, "obscured": 5, "quarantined": 2}
    assert (judge.mated["replaced"].hits, judge.mated["replaced"].n) == (3, 45)
    assert (judge.mated["replaced"].low, judge.mated["replaced"].high) == clopper_pearson(3, 45)
    assert judge.mated["obscured"].n == 5
    assert judge.mated["unrecorded"].n == 0
    assert (judge.identified["replaced"].hits, judge.identified["obscured"].hits) == (3, 0)
    assert judge.identified_faces["replaced"] == judge.matched_faces["replaced"]
    assert judge.matched_faces["replaced"] == ("a.tar/00000#0", "a.tar/00001#0", "a.tar/00002#0")
    assert (judge.rank1.hits, judge.rank1.n) == (3, 45)
    assert judge.collisions.n == 45
    assert (found.n_pictures, found.n_examined, found.unexamined) == (52, 50, ())


def test_histograms_hold_every_face(tmp_path: Path) -> None:
    (judge,) = _measure(tmp_path, audited_shard("a.tar", 41, leaks=3)).judgements
    assert {group: sum(counts) for group, counts in judge.histograms.items()} == {
        "replaced": 36, "obscured": 4, "unrecorded": 0,
    }  # fmt: skip


def test_the_worst_cases_come_first(tmp_path: Path) -> None:
    (judge,) = _measure(tmp_path, audited_shard("a.tar", 41, leaks=3)).judgements
    assert len(judge.worst) == 5
    assert [case.matched for case in judge.worst[:4]] == [True, True, True, False]
    assert [case.similarity for case in judge.worst] == sorted((c.similarity for c in judge.worst), reverse=True)


def test_unchanged_missed_doubtful_and_unverified_faces_are_named(tmp_path: Path) -> None:
    shard = audited_shard("a.tar", 3)
    first, second = shard.pictures[:2]
    key, box = first.ledger.sample_key, (0.0, 0.0, 9.0, 9.0)
    seen = [
        AuditedFace(key, i, FaceOrigin.SECOND_DETECTOR, "", box, None, unchanged=unchanged)
        for i, unchanged in enumerate((True, False, None))
    ]
    faces = (replace(first.faces[0], unchanged=True), *seen)
    changed = (
        replace(first, faces=faces),
        replace(second, faces=(replace(second.faces[0], fta=True, comparisons=()),)),
    )
    found = _measure(tmp_path, replace(shard, pictures=changed + shard.pictures[2:]))
    assert found.unchanged_faces == (f"{key}#0",)
    assert found.missed_faces == (f"{key}#seen0", f"{key}#seen2")
    assert found.doubtful_faces == (f"{key}#seen1",)
    assert found.unverified_faces == (f"{second.ledger.sample_key}#0",)


def test_a_released_picture_that_was_not_read_is_named(tmp_path: Path) -> None:
    shard = audited_shard("a.tar", 3)
    unread = replace(shard.pictures[0], faces=(), examined=False)
    found = _measure(tmp_path, replace(shard, pictures=(unread, *shard.pictures[1:])))
    assert found.unexamined == (unread.ledger.sample_key,)


@pytest.mark.parametrize(
    ("loop", "guided"),
    [
        (ModelInfo("identity-branch", "loop_recognizer", "a" * 64), False),
        (ModelInfo("fake", "loop_recognizer", ""), True),
        (ModelInfo("same weights, other name", "loop_recognizer", "d" * 64), True),
        (ModelInfo("another teacher", "training_guide", "a" * 64), False),
        (ModelInfo("torchscript:teacher.pt", "training_guide", "d" * 64), True),
    ],
)
def test_a_judge_that_guided_is_marked(tmp_path: Path, loop: ModelInfo, guided: bool) -> None:
    run = run_info(models=(ModelInfo("fake", "auditor", "d" * 64, 16), loop))
    (judge,) = _measure(tmp_path, audited_shard("a.tar", 3), run=run).judgements
    assert judge.guided is guided


def test_every_rate_is_a_metric_with_its_interval(tmp_path: Path) -> None:
    found = _measure(tmp_path, audited_shard("a.tar", 41, leaks=3))
    keys = [(m.name, m.recognizer, m.subgroup) for m in found.metrics]
    assert len(keys) == len(set(keys)) > 20
    rate = next(m for m in found.metrics if (m.name, m.subgroup) == ("mated_rate", "replaced"))
    assert (rate.hits, rate.n, rate.value) == (3, 36, 3 / 36)
    assert rate.low is not None
    assert rate.high is not None
    assert rate.low < 3 / 36 < rate.high


def test_an_empty_run_has_numbers_without_rates(tmp_path: Path) -> None:
    found = _measure(tmp_path)
    assert (found.n_pictures, found.missed_upper) == (0, None)
    assert found.judgements[0].mated["replaced"].value is None
