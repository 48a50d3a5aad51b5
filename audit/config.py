"""Settings of the judge: validated, frozen, hashed with every report. Unknown keys are errors."""

from typing import Literal

from pydantic import Field

from cfanet.config import Section


class AttackSettings(Section):
    """Attackers that learn from the released faces. They use embeddings that the audit has made anyway."""

    run: tuple[Literal["linkage", "parrot", "reconstruction"], ...] = Field(
        ("linkage", "parrot", "reconstruction"), description="which attackers; an empty list runs none"
    )
    seed: int = Field(0, ge=0, description="of every split and shuffle: equal evidence gives equal results")
    min_people: int = Field(
        5, ge=2, description="known people with enough pictures, without which the parrot is skipped"
    )
    min_pictures: int = Field(4, ge=2, description="released pictures of a person before an attacker can learn them")
    min_pairs: int = Field(
        60, ge=10, description="faces with an original, without which linkage and reconstruction are skipped"
    )
    max_faces: int = Field(20_000, ge=100, description="faces an attacker uses at most; more are thinned evenly")


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
    max_certain_collisions: int | None = Field(
        0,
        ge=0,
        description="new faces as much like another real person as that person's pictures are like one another, beyond "
        "what untouched faces do by chance",
    )
    max_certain_matches: int | None = Field(
        0,
        ge=0,
        description="replaced faces as much like their own original as two pictures of one person are; a rate of a few "
        "in a thousand does not show them",
    )
    max_stratum_rate: float | None = Field(
        0.05,
        ge=0.0,
        le=1.0,
        description="largest lower confidence limit of the mated rate in any group of replaced faces",
    )
    max_missed_per_10000: float | None = Field(
        None, gt=0.0, description="largest upper confidence limit of pictures with a missed face, of 10,000"
    )
    max_linkage_excess: float | None = Field(
        None, ge=0.0, le=1.0, description="how much oftener than chance two new faces of one person may match"
    )
    max_attack_excess: float | None = Field(
        None, ge=0.0, le=1.0, description="by how much the lower limit of a learning attacker may exceed chance"
    )
    max_near_duplicates: int = Field(0, ge=0, description="pictures in DST that show an original's untouched face")
    max_name_findings: int = Field(0, ge=0, description="file names and members that hold an enrolled person's name")
    max_stray_files: int = Field(0, ge=0, description="files in DST that no manifest mentions, members not allowed")
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
    second_detector: Literal["dlib-hog", "dlib-cnn", "dlib-hog+cnn", "none"] = Field(
        "dlib-hog",
        description="looks for faces that were missed, on the released picture; dlib-cnn sees profiles, fifteen times "
        "as slowly",
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
    unchanged_tolerance_video: float = Field(
        4.0, gt=0.0, le=32.0, description="the same for frames of videos, which the encoder changes more"
    )
    max_megapixels: float = Field(64.0, gt=0.0, description="larger released pictures are not decoded: a finding")
    calibration_fmrs: tuple[float, ...] = Field(
        (1e-2, 1e-3, 1e-4, 1e-5), description="false match rates that are reported beside `fmr` where data allow"
    )
    calibration: str | None = Field(
        None, description="folder of another gallery's calibration, used instead of this one's; default: its own"
    )
    outside_galleries: tuple[str, ...] = Field(
        (),
        description="other enrolled galleries that new faces are searched in: known people, or an earlier release; "
        "from `cfanet gallery enrol`",
    )
    near_duplicate_correlation: float = Field(
        0.85,
        gt=0.5,
        lt=1.0,
        description="correlation of face pixels from which a picture is a raw near-duplicate; measured: "
        "re-encoded and shrunk copies of larger faces reach 0.87, as new faces in the same place do: in twins of the "
        "own picture left_face_correlation decides instead",
    )
    left_face_correlation: float = Field(
        0.96,
        gt=0.5,
        lt=1.0,
        description="the same for a face in its own picture, where nothing was shrunk; measured: 95 % of copies at "
        "JPEG quality 30 or blurred by 1 px reach 0.96, new faces that the loop lets pass at most 0.951",
    )
    attacks: AttackSettings = AttackSettings()
    worst_cases: int = Field(20, ge=0, le=1000, description="faces listed by id in the report, per recognizer")
    gate: GateSettings = GateSettings()
