import json
from pathlib import Path

import pytest

from audit import calibration_store
from audit.calibration import Calibration
from audit.calibration_store import calibrated, calibration_path
from audit.config import AuditSettings
from audit.gallery import Gallery
from cfanet.errors import ConfigError
from tests.audit.fakes import FakeRecognizer, small_gallery

SETTINGS = AuditSettings(recognizers=("fake",))


@pytest.fixture
def fitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Calibration:
    """A calibration that was fitted and stored; afterwards the gallery cannot be opened any more."""
    monkeypatch.setattr(calibration_store, "open_gallery", lambda folder, name: small_gallery())
    found = calibrated(FakeRecognizer(), tmp_path, "g1", SETTINGS)

    def gone(folder: Path, name: str) -> Gallery:
        raise RuntimeError("fitted again")

    monkeypatch.setattr(calibration_store, "open_gallery", gone)
    return found


def test_what_the_data_support_has_thresholds_with_intervals_and_the_rest_has_none(fitted: Calibration) -> None:
    supported = {point.fmr: point.supported for point in fitted.points}
    assert supported == {1e-2: True, 1e-3: True, 1e-4: False, 1e-5: False}  # 90 people: 4005 pairs
    for point in fitted.points[:2]:
        assert point.low is not None and point.threshold is not None and point.high is not None
        assert point.low <= point.threshold <= point.high
        assert point.false_match.value is not None and point.false_match.value <= point.fmr
    assert fitted.points[2].threshold is None and "needs 29958" in fitted.points[2].reason
    assert fitted.points[1].threshold == fitted.threshold
    rates = [point.fmr for point in fitted.det]
    assert len(rates) > 10 and rates == sorted(rates, reverse=True)


def test_it_is_used_again_and_only_for_what_it_was_fitted_for(tmp_path: Path, fitted: Calibration) -> None:
    assert calibrated(FakeRecognizer(), tmp_path, "g1", SETTINGS) == fitted
    others = [
        (FakeRecognizer(digest="e" * 64), "g1", SETTINGS),
        (FakeRecognizer(), "g2", SETTINGS),
        (FakeRecognizer(), "g1", SETTINGS.model_copy(update={"fmr": 1e-2})),
    ]
    for judge, gallery, settings in others:
        with pytest.raises(RuntimeError, match="fitted again"):
            calibrated(judge, tmp_path, gallery, settings)


def test_an_edited_file_is_not_believed(tmp_path: Path, fitted: Calibration) -> None:
    path = calibration_path(tmp_path, "fake")
    document = json.loads(path.read_text())
    document["calibration"]["threshold"] = 0.99
    path.write_text(json.dumps(document))
    with pytest.raises(RuntimeError, match="fitted again"):
        calibrated(FakeRecognizer(), tmp_path, "g1", SETTINGS)


def test_a_supplied_one_must_be_for_these_weights_and_support_the_rate(tmp_path: Path, fitted: Calibration) -> None:
    settings = SETTINGS.model_copy(update={"calibration": str(tmp_path)})
    found = calibrated(FakeRecognizer(), tmp_path / "other", "g9", settings)
    assert (found.source, found.threshold) == ("supplied", fitted.threshold)
    with pytest.raises(ConfigError, match="fitted for other weights"):
        calibrated(FakeRecognizer(digest="e" * 64), tmp_path, "g1", settings)
    with pytest.raises(ConfigError, match="supports no false match rate of 1e-05"):
        calibrated(FakeRecognizer(), tmp_path, "g1", settings.model_copy(update={"fmr": 1e-5}))
    with pytest.raises(ConfigError, match="missing, damaged or of another version: run `cfanet calibrate"):
        calibrated(replace_name(), tmp_path, "g1", settings)
    path = calibration_path(tmp_path, "fake")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 2}))
    with pytest.raises(ConfigError, match="of another version"):
        calibrated(FakeRecognizer(), tmp_path, "g1", settings)


def replace_name() -> FakeRecognizer:
    return FakeRecognizer("another")
