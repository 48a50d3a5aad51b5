"""The known ways in which anonymized datasets leak, each with the check that looks for it, and words of standards."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Leak:
    """One class of published failures."""

    title: str
    covered: str  # yes, partly, no
    how: str  # which check, or what the reader should do


@dataclass(frozen=True)
class Reference:
    """One term of a standard or opinion, and where the report speaks of it. A pointer, not a claim of conformity."""

    document: str
    term: str
    here: str


LEAKS: tuple[Leak, ...] = (
    Leak("Faces missed", "partly", "missed_faces, with an upper limit; what both detectors miss: inspect a sample."),
    Leak("Detectors weaker on some groups", "partly", "groups, where source.label_fields names the owner's labels."),
    Leak(
        "Small, profile, covered or cut faces",
        "partly",
        "groups by size, share in the picture, pose and score; profiles that were missed: second_detector = "
        "dlib-hog+cnn; not by covering.",
    ),
    Leak("An error releases the original", "yes", "reconciled, unexamined_pictures, unchanged_faces, near_duplicates."),
    Leak("Only the first or largest face", "yes", "every enrolled face is looked up again: mated_unrecorded."),
    Leak("A pasted face re-exposes a neighbour", "yes", "unchanged_faces and mated, at the original's landmarks."),
    Leak("A threshold silently not applied", "yes", "every comparison stores its threshold; audit query thresholds."),
    Leak("EXIF, thumbnails, XMP, IPTC, ICC, text", "yes", "metadata; faces in embedded pictures: near_duplicates."),
    Leak(
        "File names, folders, captions, sidecars",
        "partly",
        "stray_files, for members off the allow-list; names, for enrolled labels; read what you keep.",
    ),
    Leak("Crops, caches and latent codes as side products", "yes", "stray_files: what no manifest mentions."),
    Leak("Hair, body, clothes, reflections, documents", "no", "Look at a sample; decide whether that is acceptable."),
    Leak("Another recognizer recognises more", "partly", "independent_judge; name more in audit.recognizers."),
    Leak("An attacker trained on anonymized pictures", "partly", "parrot: a linear head; a deep one may do better."),
    Leak("Reconstruction", "partly", "reconstruction: a linear map between templates, not between pictures."),
    Leak("Whoever holds the key can repeat the run", "yes", "the key's fingerprint is recorded; discarded by default."),
    Leak(
        "One person always gets the same new face",
        "yes",
        "linkage, repeated_seeds; across releases: name the earlier one in audit.outside_galleries.",
    ),
    Leak(
        "A new face is a real third person",
        "partly",
        "collision, certain_collision, outside: among the originals and audit.outside_galleries only.",
    ),
    Leak("Traits kept on purpose", "no", "Age, expression, pose and apparent sex stay; decide whether they may."),
    Leak("A broken evaluator reads as privacy", "yes", "positive controls: mated originals, and each attacker's own."),
    Leak("Flicker and gaps in video", "partly", "gaps: every frame is compared; flicker: `cfanet evaluate video`."),
    Leak("A raw copy elsewhere in the dataset", "partly", "near_duplicates; crops and mirrored copies are not found."),
)
"""The 21 classes, in the order of the field's survey."""

REFERENCES: tuple[Reference, ...] = (
    Reference("Article 29 WP, Opinion 05/2014 (WP216)", "singling out", "identified: the true one first in a search"),
    Reference("WP216", "linkability", "linkage attacker, repeated_seeds"),
    Reference("WP216", "inference", "not measured: traits that were kept on purpose"),
    Reference("ISO/IEC 20889", "classification of techniques", "synthetic replacement; no formal model applies"),
    Reference("ISO/IEC 27559", "re-identification, threat model", "an adversary with originals and open recognizers"),
    Reference("ISO/IEC 19795-1", "FMR, FNMR, FPIR, FNIR, DET", "calibration, mated and searched rates, with intervals"),
    Reference("ISO/IEC 19795-1", "failure to acquire", "unverified_faces"),
    Reference("GDPR", "recital 26, Article 4(1) and 4(5)", "whether means are reasonably likely; pseudonymisation"),
    Reference("AI Act", "Articles 10 and 50(2)", "groups; marking of synthetic pictures is not examined here"),
)
