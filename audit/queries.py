"""Ready-made questions to the evidence, in SQL that SQLite and PostgreSQL both understand. `:run` is the run's name."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, text

from cfanet.errors import InputError

_FACES = """
FROM face
JOIN sample ON sample.id = face.sample_id
JOIN shard ON shard.id = sample.shard_id
JOIN run ON run.id = shard.run_id"""


@dataclass(frozen=True)
class Query:
    """One question."""

    title: str
    sql: str


QUERIES: dict[str, Query] = {
    "verdicts": Query(
        "every run in this database and how it ended",
        "SELECT name AS run_name, kind, status, started_at, finished_at, code_version FROM run "
        "ORDER BY started_at, name",
    ),
    "galleries": Query(
        "who could be matched: the originals and other galleries, by digest",
        "SELECT 'originals' AS gallery, snapshot_sha256, n_references, n_subjects, n_pictures FROM gallery "
        "JOIN run ON run.id = gallery.run_id WHERE run.name = :run "
        "UNION ALL SELECT outside_gallery.name, snapshot_sha256, n_references, n_subjects, n_pictures "
        "FROM outside_gallery JOIN run ON run.id = outside_gallery.run_id WHERE run.name = :run "
        "ORDER BY 1, 2",
    ),
    "metrics": Query(
        "every number of the report with its interval",
        "SELECT metric.name AS metric, recognizer, subgroup, value, low, high, hits, n FROM metric "
        "JOIN run ON run.id = metric.run_id WHERE run.name = :run ORDER BY metric.name, recognizer, subgroup",
    ),
    "matched": Query(
        "released faces that a judge still matches to their own original, the most alike first",
        "SELECT sample.key AS sample, face.face_index, face.decision, comparison.recognizer, comparison.similarity, "
        f"comparison.angle_deg, comparison.threshold {_FACES} JOIN comparison ON comparison.face_id = face.id "
        "WHERE run.name = :run AND comparison.stage = 'audit' AND comparison.kind = 'mated' AND comparison.matched "
        "ORDER BY comparison.similarity DESC, sample.key, face.face_index",
    ),
    "collisions": Query(
        "new faces that a judge matches to another real person, the most alike first",
        "SELECT sample.key AS sample, face.face_index, search.recognizer, search.best_other, "
        f"search.best_other_similarity, search.threshold, search.true_rank {_FACES} "
        "JOIN search ON search.face_id = face.id WHERE run.name = :run AND search.collides "
        "AND face.decision = 'replaced' ORDER BY search.best_other_similarity DESC, sample.key, face.face_index",
    ),
    "identified": Query(
        "faces whose true identity comes first in a search of the gallery",
        "SELECT sample.key AS sample, face.face_index, face.decision, search.recognizer, search.own_similarity, "
        f"search.best_other_similarity, search.own_similarity - search.best_other_similarity AS margin {_FACES} "
        "JOIN search ON search.face_id = face.id WHERE run.name = :run AND search.true_rank = 1 "
        "ORDER BY margin DESC, sample.key, face.face_index",
    ),
    "missed": Query(
        "faces that only the second detector sees",
        "SELECT sample.key AS sample, face.face_index, face.detector_score, face.unchanged, "
        f"face.pixel_change {_FACES} "
        "WHERE run.name = :run AND face.origin = 'second_detector' ORDER BY face.detector_score DESC, sample.key",
    ),
    "strata": Query(
        "mated rate by size, share in the picture, pose, score and the owner's labels",
        "SELECT stratum.dimension, stratum.value, comparison.recognizer, COUNT(*) AS n, "
        f"SUM(CASE WHEN comparison.matched THEN 1 ELSE 0 END) AS matched {_FACES} "
        "JOIN stratum ON stratum.face_id = face.id JOIN comparison ON comparison.face_id = face.id "
        "WHERE run.name = :run AND comparison.stage = 'audit' AND comparison.kind = 'mated' "
        "AND face.decision = 'replaced' GROUP BY stratum.dimension, stratum.value, comparison.recognizer "
        "ORDER BY stratum.dimension, stratum.value, comparison.recognizer",
    ),
    "findings": Query(
        "names, raw near-duplicates and stray files",
        "SELECT finding.kind AS finding, shard, place, detail FROM finding JOIN run ON run.id = finding.run_id "
        "WHERE run.name = :run ORDER BY finding.kind, place, detail",
    ),
    "metadata": Query(
        "released pictures that carry more than pixels",
        "SELECT shard.name AS shard, sample.key AS sample, sample.findings_json FROM sample "
        "JOIN shard ON shard.id = sample.shard_id JOIN run ON run.id = shard.run_id "
        "WHERE run.name = :run AND sample.findings_json <> '[]' ORDER BY shard.name, sample.key",
    ),
    "attacks": Query(
        "attackers that learn: success, chance and controls",
        "SELECT attack.name AS attack, recognizer, role, hits, n, chance, detail FROM attack "
        "JOIN run ON run.id = attack.run_id WHERE run.name = :run ORDER BY attack.name, recognizer, role",
    ),
    "thresholds": Query(
        "operating points: threshold, FMR and FNMR of untouched originals",
        "SELECT recognizer, fmr, threshold, low, high, fnmr, false_match_hits, false_match_n, reason "
        "FROM operating_point JOIN run ON run.id = operating_point.run_id "
        "WHERE run.name = :run AND operating_point.kind = 'target' ORDER BY recognizer, fmr DESC",
    ),
    "withheld": Query(
        "pictures that are not in the output, and why",
        "SELECT shard.name AS shard, sample.key AS sample, sample.detail FROM sample "
        "JOIN shard ON shard.id = sample.shard_id JOIN run ON run.id = shard.run_id "
        "WHERE run.name = :run AND sample.status = 'quarantined' ORDER BY shard.name, sample.key",
    ),
    "repeated_seeds": Query(
        "new faces made from one and the same seed: key reuse",
        f"SELECT face.seed_id, COUNT(*) AS faces {_FACES} WHERE run.name = :run AND face.seed_id <> '' "
        "AND face.decision = 'replaced' GROUP BY face.seed_id HAVING COUNT(*) > 1 ORDER BY faces DESC, face.seed_id",
    ),
}


def ask(engine: Engine, name: str, run_id: str) -> tuple[list[str], list[list[Any]]]:
    """Column names and rows of a ready-made query about one run; InputError for a name that is none."""
    if name not in QUERIES:
        raise InputError(f"there is no query {name!r}: give one of {', '.join(QUERIES)}")
    statement = text(QUERIES[name].sql)
    with engine.connect() as connection:
        values = {"run": run_id} if ":run" in QUERIES[name].sql else {}
        result = connection.execute(statement, values)
        return list(result.keys()), [list(row) for row in result]
