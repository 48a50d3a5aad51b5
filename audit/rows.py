"""What SQL says about one run, read back: the only input of measures, gate and report."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from sqlalchemy import Connection, RowMapping, Select, Table, select

from audit import schema
from audit.calibration import Calibration
from audit.gallery import Snapshot
from audit.intervals import rate
from audit.records import AttackResult, FaceOrigin, GallerySearch, ModelInfo, Reconciliation, RunInfo
from audit.run_rows import (
    FindingRow,
    OutsideRow,
    read_attacks,
    read_findings,
    read_outside,
    read_points,
    read_strata,
)
from cfanet.errors import InputError
from cfanet.records import Comparison


@dataclass(frozen=True)
class ShardRow:
    """One shard of the run."""

    name: str
    output_sha256: str
    account: Reconciliation


@dataclass(frozen=True)
class SampleRow:
    """One sample of the run."""

    shard: str
    key: str
    status: str
    detail: str
    examined: bool
    findings: tuple[str, ...]


@dataclass(frozen=True)
class FaceRow:
    """One face of the run, with what was compared."""

    sample_key: str
    origin: FaceOrigin
    face_index: int
    subject_id: str
    method: str
    decision: str  # replaced, obscured, withheld; "" where the ledger has no row
    attempts: int
    requested_angle_deg: float | None
    measured_angle_deg: float | None
    pixel_change: float | None
    unchanged: bool | None
    fta: bool
    examined: bool
    mated: tuple[Comparison, ...]  # by the auditor, one a recognizer
    loop: tuple[Comparison, ...]  # by the anonymizer itself
    searches: tuple[GallerySearch, ...]
    seed_id: str = ""
    detail: str = ""  # why it was not replaced, or what is special about its new face
    strata: Mapping[str, str] = field(default_factory=dict)  # dimension -> value
    outside: tuple[Comparison, ...] = ()  # best match in other galleries, one a recognizer

    @property
    def id(self) -> str:
        """How the report names this face."""
        marks = {FaceOrigin.LEDGER: "#", FaceOrigin.GALLERY: "#unrecorded", FaceOrigin.SECOND_DETECTOR: "#seen"}
        return f"{self.sample_key}{marks[self.origin]}{self.face_index}"

    def mated_by(self, recognizer: str) -> Comparison | None:
        """The comparison with its own original by one recognizer."""
        return next((c for c in self.mated if c.recognizer == recognizer), None)

    def search_by(self, recognizer: str) -> GallerySearch | None:
        """The gallery search by one recognizer."""
        return next((s for s in self.searches if s.recognizer == recognizer), None)


@dataclass(frozen=True)
class RunRows:
    """One run. Everything is ordered by its names, so that equal evidence reads equally."""

    run: RunInfo
    config_sha256: str
    gallery: Snapshot | None
    calibrations: tuple[Calibration, ...]
    shards: tuple[ShardRow, ...]
    samples: tuple[SampleRow, ...]
    faces: tuple[FaceRow, ...]
    findings: tuple[FindingRow, ...] = ()
    attacks: tuple[AttackResult, ...] = ()
    outside: tuple[OutsideRow, ...] = ()  # other galleries that were searched


def run_row_id(connection: Connection, run_id: str) -> int:
    """Row id of a run; InputError when there is none."""
    found = connection.execute(select(schema.RUN.c.id).where(schema.RUN.c.name == run_id)).scalar_one_or_none()
    if found is None:
        raise InputError(f"run {run_id!r} is not in the evidence database: examine the dataset with `cfanet audit`")
    return int(found)


def read_run(connection: Connection, run_id: str, confidence: float) -> RunRows:
    """Read one run; intervals of the calibrations are taken at `confidence`."""
    run = run_row_id(connection, run_id)
    return RunRows(
        run=_run(connection, run),
        config_sha256=connection.execute(select(schema.RUN.c.config_sha256).where(schema.RUN.c.id == run)).scalar_one(),
        gallery=_gallery(connection, run),
        calibrations=tuple(_calibrations(connection, run, confidence)),
        shards=tuple(_shards(connection, run)),
        samples=tuple(_samples(connection, run)),
        faces=tuple(_faces(connection, run)),
        findings=read_findings(connection, run),
        attacks=read_attacks(connection, run),
        outside=read_outside(connection, run),
    )


def _run(connection: Connection, run: int) -> RunInfo:
    row = connection.execute(select(schema.RUN).where(schema.RUN.c.id == run)).mappings().one()
    datasets = schema.DATASET
    source = connection.execute(select(datasets).where(datasets.c.id == row["source_id"])).mappings().one()
    output = connection.execute(select(datasets).where(datasets.c.id == row["output_id"])).mappings().one()
    models = connection.execute(select(schema.MODEL).where(schema.MODEL.c.run_id == run)).mappings()
    return RunInfo(
        run_id=row["name"],
        kind=row["kind"],
        source_uri=source["uri"],
        output_uri=output["uri"],
        data_format=source["format"],
        started_at=row["started_at"],
        config_json=row["config_json"],
        code_version=row["code_version"],
        key_fingerprint=row["key_fingerprint"],
        identity=row["identity"],
        models=tuple(
            sorted(
                (ModelInfo(m["name"], m["role"], m["digest"], m["dim"]) for m in models),
                key=lambda model: (model.role, model.name),
            )
        ),
    )


def _gallery(connection: Connection, run: int) -> Snapshot | None:
    row = connection.execute(select(schema.GALLERY).where(schema.GALLERY.c.run_id == run)).mappings().one_or_none()
    if row is None:
        return None
    return Snapshot(row["snapshot_sha256"], row["n_references"], row["n_subjects"], row["n_pictures"], ())


def _calibrations(connection: Connection, run: int, confidence: float) -> Iterator[Calibration]:
    query = select(schema.THRESHOLD).where(schema.THRESHOLD.c.run_id == run)
    for row in sorted(connection.execute(query).mappings(), key=lambda row: (row["recognizer"], row["fmr"])):
        rates = {
            name: rate(row[f"{name}_hits"], row[f"{name}_n"], confidence)
            for name in ("false_match", "true_match", "strangers")
        }
        points, det, certain = read_points(connection, run, row["recognizer"], confidence)
        yield Calibration(
            recognizer=row["recognizer"],
            digest=row["digest"],
            fmr=row["fmr"],
            threshold=row["value"],
            source=row["source"],
            reason=row["reason"],
            n_subjects=row["n_subjects"],
            n_subject_pairs=row["n_subject_pairs"],
            nonmated_histogram=tuple(json.loads(row["nonmated_histogram_json"])),
            mated_histogram=tuple(json.loads(row["mated_histogram_json"])),
            points=points,
            det=det,
            certain=certain,
            **rates,
        )


def _shards(connection: Connection, run: int) -> Iterator[ShardRow]:
    query = select(schema.SHARD).where(schema.SHARD.c.run_id == run)
    for row in sorted(connection.execute(query).mappings(), key=lambda row: str(row["name"])):
        account = Reconciliation(
            row["n_source"],
            row["n_output"],
            row["n_quarantined"],
            *(tuple(json.loads(row[f"{name}_json"])) for name in ("lost", "repeated", "unexpected")),
        )
        yield ShardRow(row["name"], row["output_sha256"], account)


def _samples(connection: Connection, run: int) -> Iterator[SampleRow]:
    shard, sample = schema.SHARD, schema.SAMPLE
    query = select(sample, shard.c.name.label("shard")).join(shard).where(shard.c.run_id == run)
    for row in sorted(connection.execute(query).mappings(), key=lambda row: (row["shard"], row["key"])):
        findings = tuple(json.loads(row["findings_json"]))
        yield SampleRow(row["shard"], row["key"], row["status"], row["detail"], row["examined"], findings)


def _faces(connection: Connection, run: int) -> Iterator[FaceRow]:
    shard, sample, face = schema.SHARD, schema.SAMPLE, schema.FACE
    compared = _by_face(connection, schema.COMPARISON, run)
    searched = _by_face(connection, schema.SEARCH, run)
    strata = read_strata(connection, run)
    columns = (shard.c.name.label("shard"), sample.c.key, sample.c.examined)
    query = select(face, *columns).select_from(face.join(sample).join(shard)).where(shard.c.run_id == run)
    rows = connection.execute(query).mappings().all()
    for row in sorted(rows, key=lambda row: (row["shard"], row["key"], row["origin"], row["face_index"])):
        comparisons = compared[row["id"]]
        yield FaceRow(
            sample_key=row["key"],
            origin=FaceOrigin(row["origin"]),
            face_index=row["face_index"],
            subject_id=row["subject"],
            method=row["method"],
            decision=row["decision"],
            attempts=row["attempts"],
            requested_angle_deg=row["requested_angle_deg"],
            measured_angle_deg=row["measured_angle_deg"],
            pixel_change=row["pixel_change"],
            unchanged=row["unchanged"],
            fta=row["fta"],
            examined=row["examined"],
            mated=tuple(_comparison(c) for c in comparisons if c["stage"] == "audit" and c["kind"] == "mated"),
            loop=tuple(_comparison(c) for c in comparisons if c["stage"] == "loop"),
            searches=tuple(_search(s) for s in searched[row["id"]]),
            outside=tuple(_comparison(c) for c in comparisons if c["kind"] == "outside"),
            seed_id=row["seed_id"],
            detail=row["detail"],
            strata=strata.get(row["id"], {}),
        )


def _by_face(connection: Connection, table: Table, run: int) -> dict[int, list[RowMapping]]:
    shard, sample, face = schema.SHARD, schema.SAMPLE, schema.FACE
    joined = table.join(face).join(sample).join(shard)
    query: Select[Any] = select(table).select_from(joined).where(shard.c.run_id == run)
    found: dict[int, list[RowMapping]] = defaultdict(list)
    for row in connection.execute(query).mappings():
        found[row["face_id"]].append(row)
    for rows in found.values():
        rows.sort(key=lambda row: (row["recognizer"], row.get("stage", ""), row.get("kind", "")))
    return found


def _comparison(row: RowMapping) -> Comparison:
    kind = cast(Literal["mated", "gallery", "outside"], row["kind"])
    return Comparison(row["recognizer"], kind, row["reference"], row["similarity"], row["angle_deg"], row["threshold"])


def _search(row: RowMapping) -> GallerySearch:
    return GallerySearch(
        recognizer=row["recognizer"],
        n_references=row["n_references"],
        threshold=row["threshold"],
        best_other_id=row["best_other"],
        best_other_similarity=row["best_other_similarity"],
        own_similarity=row["own_similarity"],
        true_rank=row["true_rank"],
    )
