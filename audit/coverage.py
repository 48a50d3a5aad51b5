"""What this audit does not answer, in plain words, with what the reader should do about it."""

from dataclasses import dataclass

from audit.config import AuditSettings
from audit.metrics import Measurements
from audit.rows import RunRows


@dataclass(frozen=True)
class Gap:
    """One question that stays open."""

    title: str
    advice: str


_ALWAYS = (
    Gap(
        "An attacker who learns from anonymized pictures",
        "The recognizers used here were not trained on anonymized faces. One that was may do better; treat the rates "
        "above as those of a strong but not adaptive attacker.",
    ),
    Gap(
        "Undoing the anonymization",
        "No attempt was made to reconstruct original faces from the released ones.",
    ),
    Gap(
        "Linking two pictures of one person",
        "It was not measured whether two released faces of the same person can be recognised as one person.",
    ),
    Gap(
        "Everything that is not a face",
        "Hair, body, clothing, gait, name tags, text, screens, reflections and places are as they were. Look at a "
        "sample before release where people could be known by them.",
    ),
    Gap(
        "Faces that neither detector sees",
        "Very small, strongly turned or covered faces can escape both detectors. Inspect a random sample by eye; the "
        "upper limit above counts only faces of a kind that the second detector can see.",
    ),
    Gap(
        "Names in file names, folders and other members",
        "Members beside the pictures are kept or dropped by an allow-list; what is kept was not searched for names.",
    ),
    Gap(
        "Copies elsewhere",
        "Other files at the destination, caches, backups and earlier releases were not searched for originals.",
    ),
    Gap(
        "Differences between groups of people",
        "Rates are not broken down by age, skin tone, pose or face size. A low overall rate can hide a high one.",
    ),
    Gap(
        "Traits that were kept on purpose",
        "Age, expression, pose and apparent gender may be preserved and can be inferred from the released faces.",
    ),
)
_NO_SECOND_DETECTOR = Gap(
    "Missed faces",
    "The second detector was switched off: nobody looked for faces that the anonymizer missed. Switch it on.",
)
_NO_LABELS = Gap(
    "Whether new faces resemble strangers more than chance",
    "The originals carry no labels of people, so there is no rate for untouched strangers to compare with, and "
    "another picture of the same person counts as somebody else. Supply subject labels.",
)
_PER_SUBJECT = Gap(
    "Anonymity in the strict sense",
    "One virtual identity was used for each person. Their pictures remain linkable: this is pseudonymisation.",
)
_DOUBTFUL = Gap(
    "Faces that changed outside every recorded region",
    "The second detector sees faces whose pixels changed although no ledger row covers them; they are listed in "
    "report.json as doubtful.",
)


def not_covered(rows: RunRows, measured: Measurements, settings: AuditSettings) -> tuple[Gap, ...]:
    """The gaps of this audit: those that depend on the run first."""
    gaps: list[Gap] = []
    if settings.second_detector == "none":
        gaps.append(_NO_SECOND_DETECTOR)
    if rows.gallery is not None and rows.gallery.n_subjects == 0:
        gaps.append(_NO_LABELS)
    if rows.run.identity == "per_subject":
        gaps.append(_PER_SUBJECT)
    if measured.doubtful_faces:
        gaps.append(_DOUBTFUL)
    return (*gaps, *_ALWAYS)
