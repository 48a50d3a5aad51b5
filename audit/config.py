"""Settings of the judge: validated, frozen, hashed with every report. Unknown keys are errors."""

from typing import Literal

from pydantic import Field

from cfanet.config import Section


class GateSettings(Section):
    """What must hold before a dataset may be released. A limit of None is reported but decides nothing."""

    confidence: float = Field(0.95, gt=0.5, lt=1.0, description="level of every interval in the report")
    max_mated_rate: float = Field(
        0.01, ge=0.0, le=1.0, description="largest share of replaced faces still matched to their own original"
    )
    max_identified_rate: float = Field(
        0.01,
        ge=0.0,
        le=1.0,
        description="largest share of replaced faces that are matched and first in the gallery too",
    )
    max_identified_rate_obscured: float = Field(
        0.01, ge=0.0, le=1.0, description="the same for obscured faces; exceeded when the lower confidence limit is"
    )
    max_mated_upper: float | None = Field(
        None, gt=0.0, le=1.0, description="largest upper confidence limit of the mated rate of replaced faces"
    )
    max_collision_excess: float | None = Field(
        None, ge=0.0, le=1.0, description="how much oftener than untouched strangers a new face may match somebody else"
    )
    max_unchanged_faces: int = Field(0, ge=0, description="faces whose pixels are what they were")
    max_missed_faces: int = Field(0, ge=0, description="unchanged faces that only the second detector found")
    max_unverified_faces: int = Field(0, ge=0, description="released faces that could not be compared with an original")
    max_metadata_findings: int = Field(0, ge=0, description="released pictures that carry metadata")
    require_reconciled: bool = Field(True, description="every sample is exactly once in the output or the quarantine")
    require_independent: bool = Field(True, description="at least one recognizer took no part in making the faces")


class AuditSettings(Section):
    """How the released dataset is examined."""

    recognizers: tuple[str, ...] = Field(
        ("dlib",), min_length=1, description="recognizers that judge; those of the closed loop do not count as judges"
    )
    fmr: float = Field(1e-3, gt=0.0, lt=0.5, description="false match rate at which thresholds are taken")
    second_detector: Literal["dlib-hog", "none"] = Field(
        "dlib-hog", description="looks for faces that were missed, on the released picture"
    )
    second_detector_upsample: int = Field(1, ge=0, le=3, description="doublings before it looks: 0 sees 80 px, 1 40 px")
    second_detector_score: float = Field(
        0.3,
        ge=-1.0,
        le=3.0,
        description="score from which it counts; measured: background reaches 0.1, 96 % of faces 0.3",
    )
    second_detector_max_side: int = Field(
        1600, ge=320, le=16384, description="larger pictures are shrunk to this side before it looks, pixels"
    )
    unchanged_tolerance: float = Field(
        2.0, gt=0.0, le=32.0, description="mean difference, in grey levels, up to which a face counts as unchanged"
    )
    max_megapixels: float = Field(64.0, gt=0.0, description="larger released pictures are not decoded: a finding")
    worst_cases: int = Field(20, ge=0, le=1000, description="faces listed by id in the report, per recognizer")
    gate: GateSettings = GateSettings()
