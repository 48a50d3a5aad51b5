"""The linkage attacker: are two released faces of one person more alike than those of two people?

He needs no originals. He sets his threshold where one in a hundred pairs of *different* people in the released set
itself would match, and counts how many pairs of one person do. A key that was reused, or one virtual identity for a
person, shows here. Positive control: the same on the originals. Negative control: the released set, people shuffled.
"""

import numpy as np

from audit.attacks.faces import Faces, Indices, codes_of
from audit.config import AttackSettings
from audit.pairs import count_pairs, count_reaching, highest_nonmated, threshold_above
from audit.records import AttackResult
from cfanet.records import Embeddings

_CHANCE = 0.01


def linkage(faces: Faces, settings: AttackSettings) -> list[AttackResult]:
    """The attack and its controls; one result with n = 0 and the reason where the data are too few."""
    codes = codes_of(faces.subjects)
    known = codes >= 0
    nonmated, mated = count_pairs(codes[known])
    if mated < settings.min_pairs or nonmated < 3 / _CHANCE:
        reason = (
            f"skipped: {mated} pairs of released faces of one person, {settings.min_pairs} are needed "
            "(label the people in the source)"
        )
        return [AttackResult("linkage", faces.recognizer, "attack", 0, 0, _CHANCE, reason)]
    shuffled = np.random.default_rng(settings.seed).permutation(codes[known])
    done = "pairs of one person above the similarity that 1 % of pairs of different people reach"
    return [
        _result(faces, "attack", faces.released[known], codes[known], f"released faces: {done}"),
        _result(faces, "positive_control", faces.originals[known], codes[known], f"originals: {done}"),
        _result(faces, "negative_control", faces.released[known], shuffled, "released faces, people shuffled"),
    ]


def _result(faces: Faces, role: str, embeddings: Embeddings, codes: Indices, detail: str) -> AttackResult:
    nonmated, mated = count_pairs(codes)
    allowed = int(_CHANCE * nonmated)
    threshold = threshold_above(highest_nonmated(embeddings, codes, allowed + 2), allowed)
    hits = int(count_reaching(embeddings, codes, [threshold])[1][0])
    return AttackResult("linkage", faces.recognizer, role, hits, mated, _CHANCE, detail)  # type: ignore[arg-type]
