"""Calibrations as files: fitted once, bound by digest to the recognizer and the gallery, and used again by audits.

`GALLERY/calibration/<recognizer>.json` holds thresholds, rates and histograms: no embedding and no name.
"""

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from audit.calibration import Calibration, calibrate
from audit.config import AuditSettings
from audit.files import write_text
from audit.gallery import open_gallery
from audit.intervals import rate
from cfanet.errors import ConfigError
from cfanet.records import Recognizer

SCHEMA_VERSION = 3
_ADAPTER = TypeAdapter(Calibration)


def calibrated(judge: Recognizer, gallery_dir: Path, gallery_sha256: str, settings: AuditSettings) -> Calibration:
    """The judge's calibration: supplied, stored, or fitted now on the gallery and stored.

    A stored one is used when judge, gallery and settings are, by digest, those it was fitted with. ConfigError when
    `settings.calibration` names a folder that holds none for this judge at this rate.
    """
    if settings.calibration is not None:
        return _supplied(judge, Path(settings.calibration), settings)
    path = calibration_path(gallery_dir, judge.name)
    key = _key(judge, gallery_sha256, settings)
    stored = _read(path)
    if stored is not None and stored["key"] == key:
        return _ADAPTER.validate_python(stored["calibration"])
    gallery = open_gallery(gallery_dir, judge.name)
    found = calibrate(judge, gallery, settings.fmr, settings.gate.confidence, settings.calibration_fmrs)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = asdict(found)
    document = {"schema": SCHEMA_VERSION, "key": key, "calibration": content, "sha256": _digest(content)}
    write_text(path, json.dumps(document, indent=1, sort_keys=True) + "\n")
    return found


def calibration_path(folder: Path, recognizer: str) -> Path:
    """Where a recognizer's calibration lies in a gallery."""
    return folder / "calibration" / f"{recognizer.replace('/', '_')}.json"


def _supplied(judge: Recognizer, folder: Path, settings: AuditSettings) -> Calibration:
    path = calibration_path(folder, judge.name)
    stored = _read(path)
    if stored is None:
        raise ConfigError(
            f"audit.calibration: {path} is missing, damaged or of another version: "
            f"run `cfanet calibrate --gallery {folder}` first"
        )
    found = _ADAPTER.validate_python(stored["calibration"])
    if found.digest != judge.digest:
        raise ConfigError(f"audit.calibration: {path} was fitted for other weights of {judge.name!r}: calibrate again")
    point = next((p for p in found.points if p.fmr == settings.fmr), None)
    if point is None or point.threshold is None:
        raise ConfigError(
            f"audit.calibration: {path} supports no false match rate of {settings.fmr:g}: use a larger audit.fmr, or "
            "calibrate on more labelled people"
        )
    return replace(
        found,
        fmr=point.fmr,
        threshold=point.threshold,
        source="supplied",
        reason=f"{point.reason}, in a gallery that was supplied",
        false_match=point.false_match,
        true_match=point.true_match,
        # How often strangers are as like one another depends on how many there are: those are not these.
        certain=found.certain and replace(found.certain, strangers=rate(0, 0, settings.gate.confidence)),
    )


def _key(judge: Recognizer, gallery_sha256: str, settings: AuditSettings) -> dict[str, Any]:
    return {
        "recognizer": judge.name,
        "recognizer_sha256": judge.digest,
        "gallery_sha256": gallery_sha256,
        "fmr": settings.fmr,
        "fmrs": sorted(settings.calibration_fmrs),
        "confidence": settings.gate.confidence,
    }


def _read(path: Path) -> dict[str, Any] | None:
    """A stored calibration whose digest holds; None for none, another version's, or a damaged one."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        content = document["calibration"]
        _ADAPTER.validate_python(content)
        whole = document["schema"] == SCHEMA_VERSION and document["sha256"] == _digest(content) and "key" in document
    except (OSError, ValueError, KeyError, TypeError, ValidationError):
        return None
    return document if whole else None


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
