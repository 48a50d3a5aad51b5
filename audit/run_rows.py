"""What SQL holds about a whole run: outside galleries, operating points, findings and attacks, both ways."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, delete, select

from audit.calibration import Calibration, Certain, DetPoint, OperatingPoint
from audit.database import upsert
from audit.gallery import Snapshot
from audit.intervals import rate
from audit.records import AttackResult
from audit.schema import ATTACK, FACE, FINDING, OPERATING_POINT, OUTSIDE_GALLERY, SAMPLE, SHARD, STRATUM

_Row = dict[str, Any]


@dataclass(frozen=True)
class FindingRow:
    """One finding and the shard it is in ("" for none)."""

    shard: str
    kind: str
    place: str
    detail: str


@dataclass(frozen=True)
class OutsideRow:
    """One other gallery in which new faces were searched."""

    name: str  # what comparisons put before the reference
    sha256: str  # of its snapshot
    n_references: int
    n_subjects: int
    n_pictures: int


def write_outside(connection: Connection, run: int, galleries: Mapping[str, Snapshot]) -> None:
    """Replace the outside galleries of a run, which are given by name."""
    connection.execute(delete(OUTSIDE_GALLERY).where(OUTSIDE_GALLERY.c.run_id == run))
    rows = [
        {
            "run_id": run,
            "name": name,
            "snapshot_sha256": found.sha256,
            "n_references": found.n_references,
            "n_subjects": found.n_subjects,
            "n_pictures": found.n_pictures,
        }
        for name, found in sorted(galleries.items())
    ]
    upsert(connection, OUTSIDE_GALLERY, ("run_id", "name"), rows)


def read_outside(connection: Connection, run: int) -> tuple[OutsideRow, ...]:
    """All outside galleries, ordered by name."""
    rows = connection.execute(select(OUTSIDE_GALLERY).where(OUTSIDE_GALLERY.c.run_id == run)).mappings()
    found = [
        OutsideRow(r["name"], r["snapshot_sha256"], r["n_references"], r["n_subjects"], r["n_pictures"]) for r in rows
    ]
    return tuple(sorted(found, key=lambda row: row.name))


def write_points(connection: Connection, run: int, calibration: Calibration) -> None:
    """Replace what was calibrated of one recognizer: operating points, DET curve, certain similarity."""
    name = calibration.recognizer
    table = OPERATING_POINT
    connection.execute(delete(table).where((table.c.run_id == run) & (table.c.recognizer == name)))
    found = (*_targets(calibration), *_curve(calibration), *_certain(calibration))
    rows = [{"run_id": run, "recognizer": name, **row} for row in found]
    upsert(connection, table, ("run_id", "recognizer", "kind", "ordinal"), rows)


def write_attacks(connection: Connection, run: int, attacks: Sequence[AttackResult]) -> None:
    """Replace the results of all attackers."""
    connection.execute(delete(ATTACK).where(ATTACK.c.run_id == run))
    rows = [{"run_id": run, **asdict(attack)} for attack in attacks]
    upsert(connection, ATTACK, ("run_id", "name", "recognizer", "role"), rows)


def read_points(
    connection: Connection, run: int, recognizer: str, confidence: float
) -> tuple[tuple[OperatingPoint, ...], tuple[DetPoint, ...], Certain | None]:
    """Operating points, DET curve and certain similarity of one recognizer, as they were calibrated."""
    table = OPERATING_POINT
    query = select(table).where((table.c.run_id == run) & (table.c.recognizer == recognizer))
    rows = sorted(connection.execute(query).mappings(), key=lambda row: int(row["ordinal"]))
    points = tuple(
        OperatingPoint(
            fmr=row["fmr"],
            supported=row["threshold"] is not None,
            reason=row["reason"],
            threshold=row["threshold"],
            low=row["low"],
            high=row["high"],
            false_match=rate(row["false_match_hits"], row["false_match_n"], confidence),
            true_match=rate(row["true_match_hits"], row["true_match_n"], confidence),
        )
        for row in rows
        if row["kind"] == "target"
    )
    det = tuple(DetPoint(row["threshold"], row["fmr"], row["fnmr"]) for row in rows if row["kind"] == "det")
    certain = [
        Certain(row["threshold"], rate(row["false_match_hits"], row["false_match_n"], confidence))
        for row in rows
        if row["kind"] == "certain"
    ]
    return points, det, certain[0] if certain else None


def read_attacks(connection: Connection, run: int) -> tuple[AttackResult, ...]:
    """Results of all attackers, ordered by name, recognizer and role."""
    rows = connection.execute(select(ATTACK).where(ATTACK.c.run_id == run)).mappings()
    found = [
        AttackResult(r["name"], r["recognizer"], r["role"], r["hits"], r["n"], r["chance"], r["detail"]) for r in rows
    ]
    return tuple(sorted(found, key=lambda attack: (attack.name, attack.recognizer, attack.role)))


def read_findings(connection: Connection, run: int) -> tuple[FindingRow, ...]:
    """All findings, ordered by kind and place."""
    rows = connection.execute(select(FINDING).where(FINDING.c.run_id == run)).mappings()
    found = [FindingRow(row["shard"], row["kind"], row["place"], row["detail"]) for row in rows]
    return tuple(sorted(found, key=lambda row: (row.kind, row.place, row.shard, row.detail)))


def read_strata(connection: Connection, run: int) -> dict[int, dict[str, str]]:
    """Dimension -> value by the row id of the face."""
    joined = STRATUM.join(FACE).join(SAMPLE).join(SHARD)
    query = select(STRATUM.c.face_id, STRATUM.c.dimension, STRATUM.c.value).select_from(joined)
    found: dict[int, dict[str, str]] = {}
    for face, dimension, value in connection.execute(query.where(SHARD.c.run_id == run)):
        found.setdefault(int(face), {})[str(dimension)] = str(value)
    return {face: dict(sorted(values.items())) for face, values in found.items()}


def _targets(calibration: Calibration) -> list[_Row]:
    return [
        {
            "kind": "target",
            "ordinal": ordinal,
            "fmr": point.fmr,
            "fnmr": None if point.true_match.value is None else 1.0 - point.true_match.value,
            "threshold": point.threshold,
            "low": point.low,
            "high": point.high,
            "false_match_hits": point.false_match.hits,
            "false_match_n": point.false_match.n,
            "true_match_hits": point.true_match.hits,
            "true_match_n": point.true_match.n,
            "reason": point.reason,
        }
        for ordinal, point in enumerate(calibration.points)
    ]


def _certain(calibration: Calibration) -> list[_Row]:
    """The false match rate of this row is that of searches: untouched originals and everybody else."""
    if calibration.certain is None:
        return []
    strangers = calibration.certain.strangers
    return [
        {
            "kind": "certain",
            "ordinal": 0,
            "fmr": strangers.value or 0.0,
            "fnmr": None,
            "threshold": calibration.certain.similarity,
            **dict.fromkeys(("low", "high", "true_match_hits", "true_match_n")),
            "false_match_hits": strangers.hits,
            "false_match_n": strangers.n,
            "reason": "half of all pairs of untouched pictures of one person are as alike; strangers who reach it",
        }
    ]


def _curve(calibration: Calibration) -> list[_Row]:
    nothing = ("low", "high", "false_match_hits", "false_match_n", "true_match_hits", "true_match_n")
    return [
        {
            "kind": "det",
            "ordinal": ordinal,
            "fmr": point.fmr,
            "fnmr": point.fnmr,
            "threshold": point.threshold,
            **dict.fromkeys(nothing),
            "reason": "",
        }
        for ordinal, point in enumerate(calibration.det)
    ]
