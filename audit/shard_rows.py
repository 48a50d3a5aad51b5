"""One examined shard as rows of SQL: samples, faces, comparisons and searches, written in bulk."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Select, Table, delete, select

from audit.database import upsert
from audit.records import AuditedFace, AuditedPicture, AuditedShard, Finding, GallerySearch
from audit.schema import COMPARISON, FACE, FINDING, SAMPLE, SEARCH, SHARD, STRATUM
from cfanet.records import Comparison

_Row = dict[str, Any]
_Ids = dict[tuple[Any, ...], int]
_DELETE_ROWS = 500


def write_shard(connection: Connection, run: int, shard: AuditedShard) -> None:
    """Upsert all rows of one shard under the run with row id `run`; rows that are no more are deleted."""
    upsert(connection, SHARD, ("run_id", "name"), [_shard_row(run, shard)])
    where = (SHARD.c.run_id == run) & (SHARD.c.name == shard.name)
    shard_id = connection.execute(select(SHARD.c.id).where(where)).scalar_one()
    within = SAMPLE.c.shard_id == shard_id

    sample_rows = [{"shard_id": shard_id, **_sample_row(picture)} for picture in shard.pictures]
    of_sample = ("shard_id", "key")
    samples = _replace(connection, SAMPLE, of_sample, sample_rows, _existing(SAMPLE, of_sample).where(within))

    faces = [
        (face, {"sample_id": samples[(shard_id, picture.ledger.sample_key)], **_face_row(face)})
        for picture in shard.pictures
        for face in _all_faces(picture)
    ]
    keys = ("sample_id", "origin", "face_index")
    existing = _existing(FACE, keys).join(SAMPLE).where(within)
    ids = _replace(connection, FACE, keys, [row for _, row in faces], existing)
    of_face = [(face, {"face_id": ids[tuple(row[key] for key in keys)]}) for face, row in faces]

    compared = [parent | row for face, parent in of_face for row in _comparison_rows(face)]
    keys_c = ("face_id", "stage", "recognizer", "kind")
    existing = _existing(COMPARISON, keys_c).join(FACE).join(SAMPLE).where(within)
    _replace(connection, COMPARISON, keys_c, compared, existing)

    searched = [parent | _search_row(found) for face, parent in of_face for found in face.searches]
    keys_s = ("face_id", "recognizer")
    existing = _existing(SEARCH, keys_s).join(FACE).join(SAMPLE).where(within)
    _replace(connection, SEARCH, keys_s, searched, existing)

    strata = [
        parent | {"dimension": name, "value": value}
        for face, parent in of_face
        for name, value in sorted(face.strata.items())
    ]
    keys_t = ("face_id", "dimension")
    existing = _existing(STRATUM, keys_t).join(FACE).join(SAMPLE).where(within)
    _replace(connection, STRATUM, keys_t, strata, existing)
    write_findings(connection, run, shard.name, shard.findings)


def write_findings(connection: Connection, run: int, shard: str, findings: Sequence[Finding]) -> None:
    """Replace what was found in one shard, or outside all of them where `shard` is empty."""
    connection.execute(delete(FINDING).where((FINDING.c.run_id == run) & (FINDING.c.shard == shard)))
    rows = [{"run_id": run, "shard": shard, **asdict(found)} for found in dict.fromkeys(findings)]
    upsert(connection, FINDING, ("run_id", "shard", "kind", "place", "detail"), rows)


def _existing(table: Table, keys: Sequence[str]) -> Select[Any]:
    return select(table.c.id, *(table.c[key] for key in keys)).select_from(table)


def _replace(
    connection: Connection, table: Table, keys: Sequence[str], rows: Sequence[_Row], existing: Select[Any]
) -> _Ids:
    """Upsert `rows`, delete those of `existing` that are not among them, and return ids by natural key."""
    upsert(connection, table, keys, rows)
    wanted = {tuple(row[key] for key in keys) for row in rows}
    found = {tuple(row[1:]): int(row[0]) for row in connection.execute(existing)}
    stale = [row_id for natural, row_id in found.items() if natural not in wanted]
    for start in range(0, len(stale), _DELETE_ROWS):
        connection.execute(delete(table).where(table.c.id.in_(stale[start : start + _DELETE_ROWS])))
    return found


def _shard_row(run: int, shard: AuditedShard) -> _Row:
    account = shard.account
    return {
        "run_id": run,
        "name": shard.name,
        "source_etag": shard.source_etag,
        "output_sha256": shard.output_sha256,
        "n_source": account.n_source,
        "n_output": account.n_output,
        "n_quarantined": account.n_quarantined,
        "lost_json": json.dumps(account.lost),
        "repeated_json": json.dumps(account.repeated),
        "unexpected_json": json.dumps(account.unexpected),
    }


def _sample_row(picture: AuditedPicture) -> _Row:
    ledger = picture.ledger
    return {
        "key": ledger.sample_key,
        "status": str(ledger.status),
        "detail": ledger.detail,
        "media_type": ledger.media_type,
        "width": ledger.width,
        "height": ledger.height,
        "input_sha256": ledger.input_sha256,
        "output_sha256": ledger.output_sha256,
        "examined": picture.examined,
        "findings_json": json.dumps(picture.findings),
    }


def _all_faces(picture: AuditedPicture) -> list[AuditedFace]:
    """The examined faces and, for pictures that were not examined, the ledger's."""
    if picture.examined:
        return list(picture.faces)
    return [AuditedFace.unexamined(picture.ledger.sample_key, record) for record in picture.ledger.faces]


def _face_row(face: AuditedFace) -> _Row:
    record = face.record
    x1, y1, x2, y2 = face.box
    return {
        "origin": str(face.origin),
        "face_index": face.face_index,
        "subject": face.subject_id,
        **{"box_x1": x1, "box_y1": y1, "box_x2": x2, "box_y2": y2},
        "detector": record.detector if record else "",
        "detector_score": record.detector_score if record else face.score,
        "method": record.method if record else "",
        "decision": str(record.decision) if record else "",
        "attempts": record.attempts if record else 0,
        "requested_angle_deg": record.requested_angle_deg if record else None,
        "measured_angle_deg": record.measured_angle_deg if record else None,
        "seed_id": record.seed_id if record else "",
        "detail": record.detail if record else "",
        "pixel_change": face.pixel_change,
        "unchanged": face.unchanged,
        "fta": face.fta,
    }


def _search_row(found: GallerySearch) -> _Row:
    return {
        "recognizer": found.recognizer,
        "n_references": found.n_references,
        "threshold": found.threshold,
        "best_other": found.best_other_id,
        "best_other_similarity": found.best_other_similarity,
        "own_similarity": found.own_similarity,
        "true_rank": found.true_rank,
        "collides": found.collides,
    }


def _comparison_rows(face: AuditedFace) -> list[_Row]:
    loop = face.record.comparisons if face.record else ()
    return [_comparison_row("loop", c) for c in loop] + [_comparison_row("audit", c) for c in face.comparisons]


def _comparison_row(stage: str, comparison: Comparison) -> _Row:
    return {
        "stage": stage,
        "recognizer": comparison.recognizer,
        "kind": comparison.kind,
        "reference": comparison.reference_id,
        "similarity": comparison.similarity,
        "angle_deg": comparison.angle_deg,
        "threshold": comparison.threshold,
        "matched": not comparison.passed,
    }
