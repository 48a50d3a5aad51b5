"""The report: one dictionary of numbers, written as JSON and drawn as one self-contained HTML page."""

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from audit.config import AuditSettings
from audit.coverage import not_covered
from audit.files import write_text
from audit.gate import Verdict
from audit.leak_list import LEAKS, REFERENCES
from audit.metrics import Measurements, group_of
from audit.plots import angle_plot, det_plot, similarity_plot
from audit.rows import FaceRow, RunRows
from audit.words import interval, number, percent, whole

SCHEMA_VERSION = 1
_SHOWN_SHARDS = 200


def build_report(
    rows: RunRows, measured: Measurements, verdict: Verdict, settings: AuditSettings, generated_at: str
) -> dict[str, Any]:
    """All numbers of the report as plain JSON values; equal evidence gives an equal report."""
    report = {
        "schema": SCHEMA_VERSION,
        "generated_at": generated_at,
        "run": {**asdict(rows.run), "config_json": None, "config_sha256": rows.config_sha256},
        "config": json.loads(rows.run.config_json),
        "settings": settings.model_dump(mode="json"),
        "verdict": asdict(verdict),
        "gallery": asdict(rows.gallery) if rows.gallery else None,
        "outside_galleries": [asdict(gallery) for gallery in rows.outside],
        "measured": asdict(measured),
        "calibrations": [asdict(calibration) for calibration in rows.calibrations],
        "angles": _angles(rows, measured),
        "attempts": _attempts(rows.faces),
        "withheld": _reasons(rows),
        "face_details": {group: _details(rows.faces, group) for group in ("replaced", "obscured")},
        "shards": [
            {"name": shard.name, "output_sha256": shard.output_sha256, **asdict(shard.account)} for shard in rows.shards
        ],
        "leaks": [asdict(leak) for leak in LEAKS],
        "references": [asdict(reference) for reference in REFERENCES],
        "not_covered": [asdict(gap) for gap in not_covered(rows, measured, settings)],
    }
    del report["run"]["config_json"]
    plain: dict[str, Any] = json.loads(json.dumps(report, allow_nan=False))
    return plain


def write_report(report: Mapping[str, Any], directory: Path) -> tuple[Path, Path]:
    """Write `report.json` and `report.html`, each whole or not at all; returns their paths."""
    directory.mkdir(parents=True, exist_ok=True)
    as_json, as_html = directory / "report.json", directory / "report.html"
    write_text(as_json, report_json(report))
    write_text(as_html, render(report))
    return as_json, as_html


def report_json(report: Mapping[str, Any]) -> str:
    """The report as JSON text, ordered by keys."""
    return json.dumps(report, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def render(report: Mapping[str, Any]) -> str:
    """The report as one HTML page without scripts or outside references; drawn from the JSON's numbers alone."""
    calibrations = {calibration["recognizer"]: calibration for calibration in report["calibrations"]}
    return _template(
        "report.html.j2"
    ).render(
        report=report,
        weak=[check for check in report["verdict"]["checks"] if _too_few(check)],
        calibrations=calibrations,
        similarity_plots={
            judge["recognizer"]: Markup(_similarity_plot(judge, calibrations.get(judge["recognizer"])))
            for judge in report["measured"]["judgements"]
        },
        det_plots={
            name: Markup(det_plot(calibration["det"], f"det {name}"))
            for name, calibration in calibrations.items()
            if sum(bool(point["fnmr"]) for point in calibration["det"]) > 1  # a curve needs errors of both kinds
        },
        angle_plot=Markup(angle_plot(report["angles"], "angles")) if report["angles"] else "",
        shown_shards=report["shards"][:_SHOWN_SHARDS],
    )


def render_review(run_id: str, cases: Sequence[object]) -> str:
    """The internal page of worst cases with pictures; the only one that shows any."""
    return _template("review.html.j2").render(run_id=run_id, cases=cases)


def _template(name: str) -> jinja2.Template:
    return _environment().get_template(name)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("audit", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(_FILTERS)
    return environment


def _too_few(check: Mapping[str, Any]) -> bool:
    """True where a check passed, but the upper confidence limit of its rate does not."""
    high = check["rate"]["high"] if check["rate"] else None
    return bool(check["decides"] and check["passed"] and high is not None and high > check["limit"])


def _similarity_plot(judge: Mapping[str, Any], calibration: Mapping[str, Any] | None) -> str:
    series: dict[str, Sequence[int]] = {}
    if calibration is not None:
        series = {"nonmated": calibration["nonmated_histogram"], "mated": calibration["mated_histogram"]}
    return similarity_plot({**series, **judge["histograms"]}, judge["threshold"], f"similarity {judge['recognizer']}")


def _angles(rows: RunRows, measured: Measurements) -> list[dict[str, Any]]:
    """For each who measured: counts of (angle asked, angle seen) in cells of 1°, and a summary per angle asked."""
    faces = [f for f in rows.faces if group_of(f) == "replaced" and f.requested_angle_deg is not None]
    series = [_angle_series("generator's identity space", [(f, f.measured_angle_deg) for f in faces])]
    for judge in measured.judgements:
        pairs = [(f, c.angle_deg if (c := f.mated_by(judge.recognizer)) else None) for f in faces]
        series.append(_angle_series(judge.recognizer, pairs))
    return [one for one in series if one["cells"]]


def _angle_series(name: str, pairs: Sequence[tuple[FaceRow, float | None]]) -> dict[str, Any]:
    known = [(face.requested_angle_deg or 0.0, seen) for face, seen in pairs if seen is not None]
    cells = Counter((round(asked), math.floor(seen)) for asked, seen in known)
    by_asked: dict[int, list[float]] = {}
    for asked, seen in known:
        by_asked.setdefault(round(asked), []).append(seen)
    return {
        "name": name,
        "cells": [[asked, seen, count] for (asked, seen), count in sorted(cells.items())],
        "summary": [
            {
                "asked_deg": asked,
                "n": len(seen),
                "mean_deg": float(np.mean(seen)),
                "p5_deg": float(np.percentile(seen, 5)),
                "p95_deg": float(np.percentile(seen, 95)),
            }
            for asked, seen in sorted(by_asked.items())
        ],
    }


def _attempts(faces: Sequence[FaceRow]) -> dict[str, int]:
    counts = Counter(face.attempts for face in faces if group_of(face) == "replaced")
    return {str(attempts): count for attempts, count in sorted(counts.items())}


def _reasons(rows: RunRows) -> dict[str, int]:
    """Why pictures were withheld: counts per reason, the first word of the ledger's detail."""
    counts = Counter(sample.detail.split(":")[0] for sample in rows.samples if sample.status == "quarantined")
    return dict(sorted(counts.items()))


def _details(faces: Sequence[FaceRow], group: str) -> dict[str, int]:
    """What the ledger says of a group's faces beyond their decision: faces per remark."""
    counts = Counter(face.detail for face in faces if group_of(face) == group and face.detail)
    return dict(sorted(counts.items()))


def _interval(rate: Mapping[str, Any] | None) -> str:
    return "–" if rate is None else interval(rate["low"], rate["high"])


_FILTERS: dict[str, Callable[..., str]] = {
    "percent": percent,
    "interval": _interval,
    "number": number,
    "whole": whole,
}
