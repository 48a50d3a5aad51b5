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
    """Of the first attempt's candidates that pass in every picture the one that changes a face least.

    If none passes everywhere in any attempt, the one that passes in most pictures; None if none passes in any. `faces`
    are prepared. All candidates are tried on one face, another one at each attempt, and on the others those that pass
    there. Attempts of which every candidate shows the structure of some face count with all of them: what follows is
    then made of softened looks, so that the person looks the same in every picture.
    """
    best, most = None, 0
    for number, candidates in enumerate(attempts):
        first = faces[(len(faces) // 2 + number) % len(faces)]
        others = [face for face in faces if face is not first]
        (tried,) = maker.patches([(first, [targets[0].vector for targets in candidates])])
        structured = True
        for patch, targets in sorted(zip(tried, candidates, strict=True), key=lambda entry: change(first, entry[0])):
            verdicts = [checks.judge(first, patch, images[first.picture], moving=True)]
            if verdicts[0].passed:
                made = maker.patches([(face, [targets[0].vector]) for face in others])
                verdicts += [
                    checks.judge(face, new, images[face.picture], moving=True)
                    for face, (new,) in zip(others, made, strict=True)
                ]
            passed = sum(verdict.passed for verdict in verdicts)
            if passed > most:
                best, most = CommonIdentity(targets, softened=first.softened is not None), passed
            if passed == len(faces):
                return best
            structured = structured and any(verdict.structured for verdict in verdicts)
        for face in faces:
            face.structured += structured
    return best
