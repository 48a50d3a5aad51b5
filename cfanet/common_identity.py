"""One new identity for several pictures of a person: the loop, which has to be content with all of them at once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from cfanet.assigned import Target
from cfanet.face import Face
from cfanet.loop_checks import Verdict, change
from cfanet.paste import Patch
from cfanet.records import ImageArray


class Maker(Protocol):
    """What is needed of `cfanet.new_faces.NewFaces`."""

    def soften_together(self, faces: Sequence[Face]) -> bool:
        """Whether further new faces of these are made of softened looks."""
        ...

    def patches(self, wanted: Sequence[tuple[Face, Sequence[Tensor]]]) -> Iterable[list[Patch]]:
        """For each face its new ones, one for each of its identities."""
        ...


class Judge(Protocol):
    """What is needed of `cfanet.loop_checks.LoopChecks`."""

    def judge(self, face: Face, patch: Patch, original: ImageArray, moving: bool = False) -> Verdict:
        """Look at one new face in its picture."""
        ...


@dataclass(frozen=True, eq=False)
class CommonIdentity:
    """What was found."""

    targets: tuple[Target, ...]  # the identity, and the same further away
    softened: bool  # its new faces are made of softened looks at the old ones


def common_identity(
    faces: Sequence[Face],
    images: Sequence[ImageArray],
    attempts: Iterable[Sequence[tuple[Target, ...]]],
    maker: Maker,
    checks: Judge,
) -> CommonIdentity | None:
    """Of the first attempt's candidates that pass in every picture the one that changes the faces least.

    If none passes everywhere in any attempt, the one that passes in most pictures; None if none passes in any. `faces`
    are prepared. Where too much of one face's structure shows in attempt after attempt, all of them are softened, so
    that the person looks the same in every picture.
    """
    best, most = None, 0
    for candidates in attempts:
        softened = maker.soften_together(faces)
        several = list(maker.patches([(face, [targets[0].vector for targets in candidates]) for face in faces]))
        changes = [sum(change(face, new[n]) for face, new in zip(faces, several, strict=True))
                   for n in range(len(candidates))]  # fmt: skip
        structured = [True] * len(faces)
        for n in sorted(range(len(candidates)), key=changes.__getitem__):
            verdicts = [
                checks.judge(face, new[n], images[face.picture], moving=True)
                for face, new in zip(faces, several, strict=True)
            ]
            passed = sum(verdict.passed for verdict in verdicts)
            if passed > most:
                best, most = CommonIdentity(candidates[n], softened), passed
            if passed == len(faces):
                return best
            structured = [was and verdict.structured for was, verdict in zip(structured, verdicts, strict=True)]
        for face, always in zip(faces, structured, strict=True):
            face.structured += always
    return best
