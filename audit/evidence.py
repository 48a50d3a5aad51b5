"""The evidence: the only writer of the SQL tables. Every call is one transaction of upserts; a retry is a no-op."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from types import TracebackType
from typing import Any

from sqlalchemy import Connection, delete, select, update

from audit import schema
from audit.calibration import Calibration
from audit.database import close_database, open_database, upsert
from audit.digest import run_digest, table_digests
from audit.gallery import GalleryRow, Snapshot
from audit.gate import Verdict
from audit.metrics import Metric
from audit.queries import ask
from audit.records import AttackResult, AuditedShard, Finding, RunInfo
from audit.rows import RunRows, read_run, run_row_id
from audit.run_rows import write_attacks, write_outside, write_points
from audit.shard_rows import write_findings, write_shard

_Row = dict[str, Any]


class Evidence:
    """One open evidence database. Use as a context manager; nothing else may write to it meanwhile."""

    def __init__(self, url: str) -> None:
        """Open or create the database at `url`; ConfigError or InputError when that is impossible."""
        self._engine = open_database(url)

    def __enter__(self) -> "Evidence":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect; an SQLite file is left whole and on its own."""
        close_database(self._engine)

    def begin_run(self, run: RunInfo) -> None:
        """Record what is examined, with which models and configuration."""
        with self._engine.begin() as connection:
            datasets = [
                {"uri": run.source_uri, "side": "source", "format": run.data_format},
                {"uri": run.output_uri, "side": "output", "format": run.data_format},
            ]
            upsert(connection, schema.DATASET, ("uri", "side"), datasets)
            row = {
                "name": run.run_id,
                "kind": run.kind,
                "source_id": _dataset_id(connection, run.source_uri, "source"),
                "output_id": _dataset_id(connection, run.output_uri, "output"),
                "started_at": run.started_at,
                "status": "running",
                "config_json": run.config_json,
                "config_sha256": hashlib.sha256(run.config_json.encode()).hexdigest(),
                "code_version": run.code_version,
                "key_fingerprint": run.key_fingerprint,
                "identity": run.identity,
            }
            upsert(connection, schema.RUN, ("name",), [row])
            run_id = run_row_id(connection, run.run_id)
            models = [{"run_id": run_id, **asdict(model)} for model in run.models]
            upsert(connection, schema.MODEL, ("run_id", "name", "role"), models)

    def write_gallery(self, run_id: str, snapshot: Snapshot, references: Sequence[GalleryRow]) -> None:
        """Record who could be matched: reference ids and pseudonyms, never embeddings."""
        with self._engine.begin() as connection:
            run = run_row_id(connection, run_id)
            row = {
                "run_id": run,
                "snapshot_sha256": snapshot.sha256,
                "n_references": snapshot.n_references,
                "n_subjects": snapshot.n_subjects,
                "n_pictures": snapshot.n_pictures,
            }
            # A run has one gallery: what a sealed-again gallery replaces goes away with its references.
            others = schema.GALLERY.c.snapshot_sha256 != snapshot.sha256
            connection.execute(delete(schema.GALLERY).where(schema.GALLERY.c.run_id == run, others))
            upsert(connection, schema.GALLERY, ("run_id", "snapshot_sha256"), [row])
            gallery = connection.execute(select(schema.GALLERY.c.id).where(schema.GALLERY.c.run_id == run)).scalar_one()
            rows = [
                {
                    "gallery_id": gallery,
                    "ordinal": ordinal,
                    "reference": reference.reference_id,
                    "subject": reference.subject_id,
                    "input_sha256": reference.input_sha256,
                }
                for ordinal, reference in enumerate(references)
            ]
            upsert(connection, schema.GALLERY_REFERENCE, ("gallery_id", "ordinal"), rows)

    def write_outside(self, run_id: str, galleries: Mapping[str, Snapshot]) -> None:
        """Record which other galleries were searched, by name, replacing what was there."""
        with self._engine.begin() as connection:
            write_outside(connection, run_row_id(connection, run_id), galleries)

    def write_thresholds(self, run_id: str, calibrations: Sequence[Calibration]) -> None:
        """Record the thresholds and the similarities of untouched faces that they rest on."""
        with self._engine.begin() as connection:
            run = run_row_id(connection, run_id)
            rows = [_threshold_row(run, calibration) for calibration in calibrations]
            upsert(connection, schema.THRESHOLD, ("run_id", "recognizer", "fmr"), rows)
            for calibration in calibrations:
                write_points(connection, run, calibration)

    def write_shard(self, run_id: str, shard: AuditedShard) -> None:
        """Record all samples, faces, comparisons and searches of one shard, replacing what was there."""
        with self._engine.begin() as connection:
            write_shard(connection, run_row_id(connection, run_id), shard)

    def write_findings(self, run_id: str, findings: Sequence[Finding]) -> None:
        """Record what was found outside all shards, replacing what was there."""
        with self._engine.begin() as connection:
            write_findings(connection, run_row_id(connection, run_id), "", findings)

    def write_attacks(self, run_id: str, attacks: Sequence[AttackResult]) -> None:
        """Record how the attackers did, replacing what was there."""
        with self._engine.begin() as connection:
            write_attacks(connection, run_row_id(connection, run_id), attacks)

    def finish_run(self, run_id: str, metrics: Sequence[Metric], verdict: Verdict, finished_at: str) -> None:
        """Record the numbers and the decision."""
        with self._engine.begin() as connection:
            run = run_row_id(connection, run_id)
            connection.execute(delete(schema.METRIC).where(schema.METRIC.c.run_id == run))
            rows = [{"run_id": run, **asdict(metric)} for metric in metrics]
            upsert(connection, schema.METRIC, ("run_id", "name", "recognizer", "subgroup"), rows)
            values = {
                "finished_at": finished_at,
                "status": "passed" if verdict.passed else "refused",
                "verdict_json": json.dumps(asdict(verdict), sort_keys=True),
            }
            connection.execute(update(schema.RUN).where(schema.RUN.c.id == run).values(**values))

    def read_run(self, run_id: str, confidence: float = 0.95) -> RunRows:
        """Everything recorded for one run; InputError when there is no such run."""
        with self._engine.connect() as connection:
            return read_run(connection, run_id, confidence)

    def latest_run(self, output_uri: str) -> str | None:
        """Id of the newest run on this output; None when it was never examined."""
        with self._engine.connect() as connection:
            query = (
                select(schema.RUN.c.name)
                .join(schema.DATASET, schema.DATASET.c.id == schema.RUN.c.output_id)
                .where(schema.DATASET.c.uri == output_uri)
                .order_by(schema.RUN.c.started_at.desc(), schema.RUN.c.id.desc())
                .limit(1)
            )
            return connection.execute(query).scalar_one_or_none()

    def ask(self, name: str, run_id: str) -> tuple[list[str], list[list[Any]]]:
        """Columns and rows of a ready-made query (audit.queries) about one run."""
        return ask(self._engine, name, run_id)

    def table_digests(self, run_id: str) -> dict[str, str]:
        """SHA-256 of one run's rows in each table."""
        with self._engine.connect() as connection:
            return table_digests(connection, run_row_id(connection, run_id))

    def digest(self, run_id: str) -> str:
        """SHA-256 over all rows of one run, the same on every database and in every order of writing."""
        with self._engine.connect() as connection:
            return run_digest(connection, run_row_id(connection, run_id))


def _dataset_id(connection: Connection, uri: str, side: str) -> int:
    table = schema.DATASET
    query = select(table.c.id).where((table.c.uri == uri) & (table.c.side == side))
    return int(connection.execute(query).scalar_one())


def _threshold_row(run: int, calibration: Calibration) -> _Row:
    rates = {
        "false_match": calibration.false_match,
        "true_match": calibration.true_match,
        "strangers": calibration.strangers,
    }
    return {
        "run_id": run,
        "recognizer": calibration.recognizer,
        "digest": calibration.digest,
        "fmr": calibration.fmr,
        "value": calibration.threshold,
        "source": calibration.source,
        "reason": calibration.reason,
        "n_subjects": calibration.n_subjects,
        "n_subject_pairs": calibration.n_subject_pairs,
        **{f"{name}_hits": rate.hits for name, rate in rates.items()},
        **{f"{name}_n": rate.n for name, rate in rates.items()},
        "nonmated_histogram_json": json.dumps(calibration.nonmated_histogram),
        "mated_histogram_json": json.dumps(calibration.mated_histogram),
    }
