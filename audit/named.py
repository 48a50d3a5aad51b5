"""Faces for whose sake alone a gate refuses: the few that could be obscured so that the rest may be released."""

from audit.gate import Verdict
from audit.metrics import Measurements
from audit.records import NAMED_BY_AUDIT

_CHECKS = ("certain_match", "certain_collision", "certain_outside")


def names_faces(verdict: Verdict) -> bool:
    """Whether a check of single faces has failed."""
    return any(_of_faces(name) for name in _failed(verdict))


def refused_for_faces_alone(verdict: Verdict) -> bool:
    """Whether a gate refuses, and for nothing but single faces: without them it would let the rest pass."""
    return not verdict.passed and all(_of_faces(name) for name in _failed(verdict))


def named_faces(measured: Measurements, verdict: Verdict) -> dict[str, str]:
    """Ids of the faces behind the failed checks of single faces, and which: plain matches with one certain person.

    A rate that is too high is behind no single face: to obscure those that make it up would blunt the judge, not the
    faces, so that none is named.
    """
    failed, found = _failed(verdict), dict[str, str]()
    for judge in measured.judgements:
        outside = tuple(face.partition(" = ")[0] for face in judge.certain_outside)
        for check, faces in zip(_CHECKS, (judge.certain_own, judge.certain_faces, outside), strict=True):
            name = f"{check}:{judge.recognizer}"
            if name in failed:
                found |= {face: f"{NAMED_BY_AUDIT}: {name}" for face in faces if face not in found}
    return found


def _of_faces(check: str) -> bool:
    return check.partition(":")[0] in _CHECKS


def _failed(verdict: Verdict) -> set[str]:
    return {check.name for check in verdict.checks if check.decides and not check.passed}
