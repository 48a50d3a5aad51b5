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
        "Stronger learners",
        "The attackers of this audit learn linear maps on frozen recognizers. A deep network trained on many "
        "anonymized pictures of other people may do better.",
    ),
    Gap(
        "Copies that were cropped, turned or mirrored, and copies outside the output",
        "Raw copies are looked for in every file and member of the output, by a hash of the whole picture. Caches, "
        "backups and earlier releases elsewhere were not searched.",
    ),
    Gap(
        "Names that are not labels",
        "File names and texts were searched for the labels of enrolled people only, not for other names, addresses or "
        "numbers. Read the members that you keep.",
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
_NO_GROUPS = Gap(
    "Differences between groups of people",
    "Rates are broken down by size, share in the picture, pose and detector score, but no labels of groups were "
    "supplied. Name the fields of the source that hold them in source.label_fields.",
)
_PER_SUBJECT = Gap(
    "Anonymity in the strict sense",
    "One virtual identity was used for each person. Their pictures remain linkable: this is pseudonymisation.",
)
_FRONTAL_ONLY = Gap(
    "Profile faces that were missed",
    "The second detector sees frontal and half-turned faces. Set audit.second_detector = dlib-hog+cnn to look for "
    "profiles too.",
)
_NO_OUTSIDE = Gap(
    "People outside these originals, and earlier releases",
    "New faces were compared with the originals only. Enrol other people or an earlier release with cfanet gallery "
    "enrol, and name them in audit.outside_galleries.",
)
_VIDEO = (
    Gap(
        "How sure the rates of videos are",
        "Intervals take faces as independent. Frames of one track show one person and one new face, so many frames of "
        "few tracks prove less than the intervals say. Count the tracks, which are the seeds of the ledger.",
    ),
    Gap(
        "Voices, and the way people move",
        "Sound was copied as it is, unless anonymize.video.sound is off, and movement was kept. Both identify people.",
    ),
    Gap(
        "Raw copies among frames",
        "Each frame was compared with its own original; frames were not searched for the faces of other originals.",
    ),
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
    elif settings.second_detector == "dlib-hog":
        gaps.append(_FRONTAL_ONLY)
    if not settings.outside_galleries:
        gaps.append(_NO_OUTSIDE)
    if rows.gallery is not None and rows.gallery.n_subjects == 0:
        gaps.append(_NO_LABELS)
    if rows.run.identity == "per_subject":
        gaps.append(_PER_SUBJECT)
    if rows.run.data_format == "video":
        gaps += _VIDEO
    for attack in measured.attacks:
        if attack.role == "attack" and not attack.success.n:
            gaps.append(Gap(f"The {attack.name} attacker ({attack.recognizer})", f"It was {attack.detail}."))
    if measured.judgements and not any(s.dimension.startswith("label:") for j in measured.judgements for s in j.strata):
        gaps.append(_NO_GROUPS)
    if measured.doubtful_faces:
        gaps.append(_DOUBTFUL)
    return (*gaps, *_ALWAYS)
