"""The numbers of an audit, from evidence rows alone. Every rate comes with its exact interval."""

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from audit.breakdown import (
    NO_MARGINS,
    AttackRate,
    Margins,
    StratumRate,
    attack_rates,
    findings_of,
    margins,
    rates_by_stratum,
    repeated_seeds,
)
from audit.calibration import Certain, histogram
from audit.config import AuditSettings
from audit.intervals import Rate, rate, upper_bound
from audit.records import FaceOrigin
from audit.rows import FaceRow, RunRows
from audit.strata import SECOND_DETECTOR
from cfanet.records import Comparison, FaceDecision, ImageStatus

GROUPS: tuple[str, ...] = ("replaced", "obscured", "unrecorded")
"""Faces by what the ledger says of them; "unrecorded" ones are in the original and in no ledger row."""


@dataclass(frozen=True)
class Metric:
    """One number with its interval, as stored in SQL."""

    name: str
    recognizer: str = ""
    subgroup: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    hits: int | None = None
    n: int | None = None

    @classmethod
    def of(cls, name: str, found: Rate, recognizer: str = "", subgroup: str = "") -> "Metric":
        """A rate as a metric."""
        return cls(name, recognizer, subgroup, found.value, found.low, found.high, found.hits, found.n)


@dataclass(frozen=True)
class WorstCase:
    """One face that a recognizer finds most like its original."""

    face: str
    decision: str
    similarity: float
    seen_angle_deg: float
    requested_angle_deg: float | None
    measured_angle_deg: float | None
    true_rank: int | None
    matched: bool


@dataclass(frozen=True)
class Judgement:
    """What one of the auditor's recognizers says."""

    recognizer: str
    guided: bool  # it also took part in making the faces, so it is no independent judge
    threshold: float | None  # None where it was never calibrated
    mated: dict[str, Rate]  # by group: share still matched to its own original
    matched_faces: dict[str, tuple[str, ...]]  # by group: their ids
    identified: dict[str, Rate]  # by group: share matched to their own original, which is first in the gallery too
    identified_faces: dict[str, tuple[str, ...]]  # by group: their ids
    collisions: Rate  # replaced faces matched to a real person who is not their original
    collided_faces: tuple[str, ...]
    rank1: Rate  # replaced faces whose true identity is the best match in the gallery
    median_rank: float | None
    histograms: dict[str, tuple[int, ...]]  # by group: similarity with its own original
    worst: tuple[WorstCase, ...]
    strata: tuple[StratumRate, ...] = ()  # replaced faces by size, share in the picture, pose, score, label
    margins: Margins = NO_MARGINS
    certain: Certain | None = None  # from which similarity a face could be taken for a certain person
    n_searched: int = 0  # replaced faces searched among other people
    certain_faces: tuple[str, ...] = ()
    certain_own: tuple[str, ...] = ()  # replaced faces as like their own original
    outside: Rate | None = None  # replaced faces matched in other galleries; None where none was searched
    outside_faces: tuple[str, ...] = ()  # `face = reference`
    certain_outside: tuple[str, ...] = ()


@dataclass(frozen=True)
class Measurements:
    """All numbers that gate and report use."""

    n_pictures: int
    statuses: dict[str, int]
    decisions: dict[str, int]
    n_examined: int
    unexamined: tuple[str, ...]  # released according to the ledger, but not read
    judgements: tuple[Judgement, ...]
    unchanged_faces: tuple[str, ...]
    missed_faces: tuple[str, ...]  # only the second detector sees them; unchanged, or not known to have changed
    doubtful_faces: tuple[str, ...]  # only the second detector sees them, and their pixels did change
    missed_upper: float | None  # one-sided upper limit of missed faces per picture
    unverified_faces: tuple[str, ...]
    findings: dict[str, tuple[str, ...]]  # sample key -> what was found in the file
    lost: tuple[str, ...]
    repeated: tuple[str, ...]
    unexpected: tuple[str, ...]
    metrics: tuple[Metric, ...]
    names: tuple[str, ...] = ()
    near_duplicates: tuple[str, ...] = ()
    strays: tuple[str, ...] = ()
    repeated_seeds: tuple[str, ...] = ()
    second_sees: Rate | None = None  # faces of the originals that the second detector sees; None where it did not look
    attacks: tuple[AttackRate, ...] = ()


def measure(rows: RunRows, settings: AuditSettings) -> Measurements:
    """Count and rate everything recorded for a run."""
    confidence = settings.gate.confidence
    statuses = Counter(sample.status for sample in rows.samples)
    recorded = [face for face in rows.faces if face.origin is FaceOrigin.LEDGER]
    released = [face for face in rows.faces if face.examined and face.origin is not FaceOrigin.SECOND_DETECTOR]
    seen = [face for face in rows.faces if face.origin is FaceOrigin.SECOND_DETECTOR]
    judgements = tuple(_judge(rows, name, settings) for name in sorted(_auditors(rows)))
    examined = sum(sample.examined for sample in rows.samples)
    missed = _ids(face for face in seen if face.unchanged is not False)
    measured = Measurements(
        n_pictures=len(rows.samples),
        statuses={str(status): statuses.get(str(status), 0) for status in ImageStatus},
        decisions={str(d): sum(face.decision == d for face in recorded) for d in FaceDecision},
        n_examined=examined,
        unexamined=tuple(s.key for s in rows.samples if not s.examined and s.status != str(ImageStatus.QUARANTINED)),
        judgements=judgements,
        unchanged_faces=_ids(face for face in released if face.unchanged),
        missed_faces=missed,
        doubtful_faces=_ids(face for face in seen if face.unchanged is False),
        missed_upper=upper_bound(min(len(missed), examined), examined, confidence) if examined else None,
        unverified_faces=_ids(face for face in released if face.fta),
        findings={sample.key: sample.findings for sample in rows.samples if sample.findings},
        lost=tuple(key for shard in rows.shards for key in shard.account.lost),
        repeated=tuple(key for shard in rows.shards for key in shard.account.repeated),
        unexpected=tuple(key for shard in rows.shards for key in shard.account.unexpected),
        metrics=(),
        names=findings_of(rows, "name"),
        near_duplicates=findings_of(rows, "near_duplicate"),
        strays=findings_of(rows, "stray"),
        repeated_seeds=repeated_seeds(rows.faces, rows.run.data_format == "video"),
        second_sees=_second_sees(recorded, confidence),
        attacks=attack_rates(rows.attacks, confidence),
    )
    return _with_metrics(measured, rows)


def _second_sees(recorded: Sequence[FaceRow], confidence: float) -> Rate | None:
    asked = [face.strata[SECOND_DETECTOR] == "sees it" for face in recorded if SECOND_DETECTOR in face.strata]
    return rate(sum(asked), len(asked), confidence) if asked else None


def group_of(face: FaceRow) -> str:
    """The group in which an examined face is counted; "" for those that are not compared."""
    if not face.examined or face.origin is FaceOrigin.SECOND_DETECTOR:
        return ""
    if face.origin is FaceOrigin.GALLERY:
        return "unrecorded"
    return face.decision if face.decision in GROUPS else ""


def _judge(rows: RunRows, recognizer: str, settings: AuditSettings) -> Judgement:
    confidence = settings.gate.confidence
    calibration = next((c for c in rows.calibrations if c.recognizer == recognizer), None)
    by_group = {
        group: [(f, c) for f in rows.faces if group_of(f) == group and (c := f.mated_by(recognizer)) is not None]
        for group in GROUPS
    }
    identified = {group: _identified(pairs) for group, pairs in by_group.items()}
    compared = [pair for group in GROUPS for pair in by_group[group]]
    searches = [(f, s) for f, _ in by_group["replaced"] if (s := f.search_by(recognizer)) is not None]
    others = [(f, s) for f, s in searches if s.best_other_id]
    ranks = [s.true_rank for _, s in searches if s.true_rank is not None]
    outside = [(f, c) for f, _ in by_group["replaced"] for c in f.outside if c.recognizer == recognizer]
    certain = calibration.certain if calibration else None
    sure = certain.similarity if certain else np.inf
    worst = sorted(compared, key=lambda pair: (-pair[1].similarity, pair[0].id))[: settings.worst_cases]
    return Judgement(
        recognizer=recognizer,
        guided=recognizer in _guides(rows),
        threshold=calibration.threshold if calibration else None,
        mated={
            group: rate(sum(not c.passed for _, c in pairs), len(pairs), confidence)
            for group, pairs in by_group.items()
        },
        matched_faces={group: _ids(f for f, c in pairs if not c.passed) for group, pairs in by_group.items()},
        identified={group: rate(len(found), n, confidence) for group, (found, n) in identified.items()},
        identified_faces={group: found for group, (found, _) in identified.items()},
        collisions=rate(sum(s.collides for _, s in others), len(others), confidence),
        collided_faces=_ids(f for f, s in others if s.collides),
        rank1=rate(sum(r == 1 for r in ranks), len(ranks), confidence),
        median_rank=float(statistics.median(ranks)) if ranks else None,
        histograms={
            group: tuple(int(n) for n in histogram(np.array([c.similarity for _, c in pairs])))
            for group, pairs in by_group.items()
        },
        worst=tuple(_worst_case(face, recognizer) for face, _ in worst),
        strata=rates_by_stratum(by_group["replaced"], confidence),
        margins=margins(s for _, s in searches),
        certain=certain,
        n_searched=len(others),
        certain_faces=_ids(f for f, s in others if s.best_other_similarity >= sure),
        certain_own=_ids(f for f, c in by_group["replaced"] if c.similarity >= sure),
        outside=rate(sum(not c.passed for _, c in outside), len(outside), confidence) if outside else None,
        outside_faces=tuple(f"{f.id} = {c.reference_id}" for f, c in outside if not c.passed),
        certain_outside=tuple(f"{f.id} = {c.reference_id}" for f, c in outside if c.similarity >= sure),
    )


def _identified(pairs: Sequence[tuple[FaceRow, Comparison]]) -> tuple[tuple[str, ...], int]:
    """Ids of the faces that are matched and of rank 1, and how many were searched.

    A blank or faceless region has one and the same embedding wherever it is; it matches the few originals that lie
    near it by accident, its own perhaps among them. Only the rank tells that from being recognised.
    """
    searched = [(f, c, s) for f, c in pairs if (s := f.search_by(c.recognizer)) is not None]
    return _ids(f for f, c, s in searched if not c.passed and s.true_rank == 1), len(searched)


def _worst_case(face: FaceRow, recognizer: str) -> WorstCase:
    compared, searched = face.mated_by(recognizer), face.search_by(recognizer)
    assert compared is not None
    return WorstCase(
        face=face.id,
        decision=face.decision or "unrecorded",
        similarity=compared.similarity,
        seen_angle_deg=compared.angle_deg,
        requested_angle_deg=face.requested_angle_deg,
        measured_angle_deg=face.measured_angle_deg,
        true_rank=searched.true_rank if searched else None,
        matched=not compared.passed,
    )


def _auditors(rows: RunRows) -> set[str]:
    named = {model.name for model in rows.run.models if model.role == "auditor"}
    return named or {calibration.recognizer for calibration in rows.calibrations}


def _guides(rows: RunRows) -> set[str]:
    """Auditors that also sat in the closed loop or taught the generator, by name or by the digest of their weights."""
    loop = [model for model in rows.run.models if model.role in ("loop_recognizer", "training_guide")]
    names, digests = {model.name for model in loop}, {model.digest for model in loop if model.digest}
    judges = [model for model in rows.run.models if model.role == "auditor"]
    return {model.name for model in judges if model.name in names or model.digest in digests}


def _with_metrics(measured: Measurements, rows: RunRows) -> Measurements:
    counts: Sequence[tuple[str, Callable[[Measurements], int]]] = (
        ("pictures", lambda m: m.n_pictures),
        ("pictures_examined", lambda m: m.n_examined),
        ("pictures_unexamined", lambda m: len(m.unexamined)),
        ("pictures_with_findings", lambda m: len(m.findings)),
        ("faces_unchanged", lambda m: len(m.unchanged_faces)),
        ("faces_missed", lambda m: len(m.missed_faces)),
        ("faces_unverified", lambda m: len(m.unverified_faces)),
        ("names_found", lambda m: len(m.names)),
        ("near_duplicates", lambda m: len(m.near_duplicates)),
        ("stray_files", lambda m: len(m.strays)),
        ("seeds_repeated", lambda m: len(m.repeated_seeds)),
        ("samples_lost", lambda m: len(m.lost)),
        ("samples_repeated", lambda m: len(m.repeated)),
        ("samples_unexpected", lambda m: len(m.unexpected)),
    )
    metrics = [Metric(name, value=float(count(measured))) for name, count in counts]
    metrics += [Metric("pictures", subgroup=k, value=float(v)) for k, v in measured.statuses.items()]
    metrics += [Metric("faces", subgroup=k, value=float(v)) for k, v in measured.decisions.items()]
    metrics.append(Metric("faces_missed_per_picture_upper", value=measured.missed_upper))
    if measured.second_sees is not None:
        metrics.append(Metric.of("second_detector_sees", measured.second_sees))
    for judge in measured.judgements:
        name = judge.recognizer
        metrics += [Metric.of("mated_rate", found, name, group) for group, found in judge.mated.items()]
        metrics += [Metric.of("identified_rate", found, name, group) for group, found in judge.identified.items()]
        metrics.append(Metric.of("collision_rate", judge.collisions, name))
        metrics.append(Metric.of("rank1_rate", judge.rank1, name))
        metrics.append(Metric("median_true_rank", name, value=judge.median_rank))
        metrics += [Metric.of("mated_rate", s.mated, name, f"{s.dimension}={s.value}") for s in judge.strata]
        metrics += _search_metrics(judge)
    for attack in measured.attacks:
        metrics.append(Metric.of(f"{attack.name}_success", attack.success, attack.recognizer, attack.role))
    for calibration in rows.calibrations:
        name = calibration.recognizer
        metrics.append(Metric.of("false_match_rate", calibration.false_match, name))
        metrics.append(Metric.of("true_match_rate", calibration.true_match, name))
        metrics.append(Metric.of("stranger_match_rate", calibration.strangers, name))
    return replace(measured, metrics=tuple(metrics))


def _search_metrics(judge: Judgement) -> list[Metric]:
    """FPIR and FNIR of searches with replaced faces, the margin, and look-alikes that could be taken for somebody."""
    name, found = judge.recognizer, judge.identified["replaced"]
    missing = None if found.value is None else 1.0 - found.value
    low = None if found.high is None else 1.0 - found.high
    high = None if found.low is None else 1.0 - found.low
    return [
        Metric("fnir", name, "replaced", missing, low, high, found.n - found.hits, found.n),
        Metric.of("fpir", judge.collisions, name, "replaced"),
        Metric("margin_median", name, value=judge.margins.median, n=judge.margins.n),
        Metric("margin_highest", name, value=judge.margins.highest, n=judge.margins.n),
        Metric("certain_collisions", name, value=float(len(judge.certain_faces))),
        Metric("certain_matches", name, value=float(len(judge.certain_own))),
        *([] if judge.outside is None else [Metric.of("outside_match_rate", judge.outside, name)]),
    ]


def _ids(faces: Iterable[FaceRow]) -> tuple[str, ...]:
    return tuple(sorted(face.id for face in faces))
