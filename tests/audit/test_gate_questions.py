"""The questions beyond recognition: each planted leak refuses by its own check, and clean data passes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from audit.calibration import certain_similarity
from audit.config import AuditSettings, GateSettings
from audit.evidence import Evidence
from audit.gate import Verdict, decide
from audit.intervals import Rate, rate
from audit.metrics import measure
from audit.records import AttackResult, AuditedShard, Finding
from cfanet.records import Comparison
from tests.audit.fakes import audited_shard, sqlite_at, write_run

CLEAN = audited_shard("a.tar", 401)
NO_CHANCE = rate(0, 200, 0.95)
CONTROLS = (("positive_control", 90), ("negative_control", 1))


def _verdict(
    directory: Path, shard: AuditedShard, attack: int | None = None, strangers: Rate | None = None, **gate: object
) -> Verdict:
    settings = AuditSettings(recognizers=("fake",), gate=GateSettings(**gate))  # type: ignore[arg-type]
    with Evidence(sqlite_at(directory)) as evidence:
        run = write_run(evidence, [shard])
        if attack is not None:
            results = [("attack", attack), *CONTROLS]
            evidence.write_attacks(
                run,
                [AttackResult("parrot", "fake", role, hits, 100, 0.02, "tried") for role, hits in results],  # type: ignore[arg-type]
            )
        rows = evidence.read_run(run)
        if strangers is not None:
            (known,) = rows.calibrations
            assert known.certain is not None
            rows = replace(rows, calibrations=(replace(known, certain=replace(known.certain, strangers=strangers)),))
        return decide(measure(rows, settings), settings.gate, rows)


def _failed(verdict: Verdict) -> list[str]:
    return [check.name for check in verdict.checks if check.decides and not check.passed]


def _first_face(**changes: object) -> AuditedShard:
    picture = CLEAN.pictures[0]
    face = replace(picture.faces[0], **changes)  # type: ignore[arg-type]
    return replace(CLEAN, pictures=(replace(picture, faces=(face,)), *CLEAN.pictures[1:]))


@pytest.mark.parametrize(
    ("kind", "name"), [("name", "names"), ("near_duplicate", "near_duplicates"), ("stray", "stray_files")]
)
def test_a_finding_refuses_by_its_own_check_and_is_named(tmp_path: Path, kind: str, name: str) -> None:
    shard = replace(CLEAN, findings=(Finding(kind, "x/1.jpg", "what it is"),))  # type: ignore[arg-type]
    verdict = _verdict(tmp_path, shard)
    assert _failed(verdict) == [name]
    (check,) = [check for check in verdict.checks if check.name == name]
    assert check.offenders == ("x/1.jpg: what it is",)
    assert _verdict(tmp_path, CLEAN).passed, "an examined again shard forgets what is no more"


def test_a_face_that_could_be_a_certain_other_person_refuses(tmp_path: Path) -> None:
    search = replace(CLEAN.pictures[0].faces[0].searches[0], best_other_similarity=0.99)
    verdict = _verdict(tmp_path, _first_face(searches=(search,)), strangers=NO_CHANCE)
    assert _failed(verdict) == ["certain_collision:fake"]
    assert "a.tar/00000#0" in verdict.checks[[c.name for c in verdict.checks].index(_failed(verdict)[0])].offenders
    assert _verdict(tmp_path, CLEAN).passed


def test_a_face_that_is_plainly_the_person_it_was_refuses_although_the_rate_is_fine(tmp_path: Path) -> None:
    (mated, *rest) = CLEAN.pictures[0].faces[0].comparisons
    for similarity, failed in ((0.99, ["certain_match:fake"]), (0.61, [])):
        verdict = _verdict(tmp_path, _first_face(comparisons=(replace(mated, similarity=similarity), *rest)))
        assert _failed(verdict) == failed
    assert _verdict(tmp_path, CLEAN).passed


def test_a_face_that_could_be_somebody_in_another_gallery_refuses(tmp_path: Path) -> None:
    compared = CLEAN.pictures[0].faces[0].comparisons
    for similarity, failed in ((0.99, ["certain_outside:fake"]), (0.61, [])):
        other = Comparison("fake", "outside", "release-1:k#0", similarity, 8.0, 0.6)
        verdict = _verdict(tmp_path, _first_face(comparisons=(*compared, other)))
        assert _failed(verdict) == failed
        (check,) = [check for check in verdict.checks if check.name == "outside:fake"]
        assert check.offenders == ("a.tar/00000#0 = release-1:k#0",) and check.n_offenders == 1
    assert not [check for check in _verdict(tmp_path, CLEAN).checks if check.name.startswith("outside")]


def test_one_kind_of_face_that_leaks_refuses_although_the_whole_is_fine(tmp_path: Path) -> None:
    leaky = audited_shard("a.tar", 401, leaks=4)
    pictures = tuple(
        replace(p, faces=tuple(replace(f, strata={"pose": "profile" if i < 4 else "frontal"}) for f in p.faces))
        for i, p in enumerate(leaky.pictures)
    )
    loose = {"max_mated_rate": 0.5, "max_identified_rate": 0.5, "max_certain_matches": None}
    verdict = _verdict(tmp_path, replace(leaky, pictures=pictures), **loose)
    assert _failed(verdict) == ["groups:fake"]
    (check,) = [check for check in verdict.checks if check.name == "groups:fake"]
    assert check.offenders == ("pose profile: 100\u00a0% of 4",)
    assert _verdict(tmp_path, replace(leaky, pictures=pictures), max_stratum_rate=None, **loose).passed


def test_attacks_are_reported_and_decide_with_a_limit(tmp_path: Path) -> None:
    assert _verdict(tmp_path, CLEAN, attack=60).passed
    assert _failed(_verdict(tmp_path, CLEAN, attack=60, max_attack_excess=0.1)) == ["parrot:fake"]
    assert _verdict(tmp_path, CLEAN, attack=3, max_attack_excess=0.1).passed


def test_the_bound_on_missed_faces_grows_by_what_the_second_detector_does_not_see(tmp_path: Path) -> None:
    pictures = tuple(
        replace(p, faces=tuple(replace(f, strata={"second detector": seen}) for f in p.faces))
        for p, seen in zip(CLEAN.pictures, ["sees it", "sees it", "does not see it"] * 200, strict=False)
    )
    whole = replace(CLEAN, pictures=pictures)
    missed, plain = (
        next(check for check in _verdict(tmp_path, shard).checks if check.name == "missed_faces").detail
        for shard in (whole, CLEAN)
    )
    assert "at most 75 of 10,000" in plain and "of any kind" not in plain
    assert "It sees 67\u00a0% of" in missed and "at most 120 of 10,000 hold a missed face of any kind" in missed


def test_the_bound_on_missed_faces_can_decide(tmp_path: Path) -> None:
    assert _failed(_verdict(tmp_path, CLEAN, max_missed_per_10000=1.0)) == ["missed_faces"]
    assert _verdict(tmp_path, CLEAN, max_missed_per_10000=100.0).passed


def test_a_certain_match_can_be_reached_where_originals_are_nearly_identical() -> None:
    """Half of all pairs in the highest bin once gave a limit of 1, which rounding keeps every copy below."""
    pairs = np.zeros(200, np.int64)
    pairs[199] = 40
    limit = certain_similarity(pairs, 0.5)
    assert limit is not None and limit == pytest.approx(0.99)
    pairs[199] = 29
    assert certain_similarity(pairs, 0.5) is None, "too few pairs to know"


def test_certain_look_alikes_are_counted_beyond_those_that_untouched_faces_have(tmp_path: Path) -> None:
    search = replace(CLEAN.pictures[0].faces[0].searches[0], best_other_similarity=0.99)
    shard = _first_face(searches=(search,))
    for hits, passed in ((0, False), (1, True)):  # of 200; there are 360 new faces
        verdict = _verdict(tmp_path, shard, strangers=rate(hits, 200, 0.95))
        (check,) = [check for check in verdict.checks if check.name == "certain_collision:fake"]
        assert (check.passed, check.value, check.limit) == (passed, 1.0, float(hits))
        assert ("1 of 360 would be no more than chance" in check.detail) == bool(hits)
