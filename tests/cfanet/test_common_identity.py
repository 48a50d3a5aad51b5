from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from cfanet.assigned import Target
from cfanet.common_identity import CommonIdentity, common_identity
from cfanet.face import Face
from cfanet.loop_checks import Verdict
from cfanet.paste import Patch
from cfanet.records import ImageArray
from tests.cfanet.tiny import face_at, noise

IMAGES = [noise(40, 40, seed=n) for n in range(3)]
PASSED, SHOWN, STRUCTURED = Verdict(True, False, True), Verdict(False, False, False), Verdict(False, True, False)
SIMILAR = Verdict(True, False, False)  # to somebody of the gallery


class FakeMaker:
    """A new face is brighter than the old one by a tenth of its identity's number."""

    def __init__(self, soften_after: int = 64) -> None:
        self._soften_after = soften_after

    def soften_together(self, faces: Sequence[Face]) -> bool:
        return any(face.structured >= self._soften_after for face in faces)

    def patches(self, wanted: Sequence[tuple[Face, Sequence[Tensor]]]) -> Iterator[list[Patch]]:
        for face, vectors in wanted:
            assert face.crop is not None
            yield [Patch(face.crop + float(vector) / 10, np.eye(2, 3)) for vector in vectors]


class FakeChecks:
    """Says of an identity in a picture what it was told to; of others that they pass."""

    def __init__(self, told: Mapping[tuple[int, int], Verdict]) -> None:
        self._told = told
        self.asked: list[tuple[int, int]] = []

    def judge(self, face: Face, patch: Patch, original: ImageArray, moving: bool = False) -> Verdict:
        assert moving and face.crop is not None and original is IMAGES[face.picture]
        number = round(float((patch.crop - face.crop).mean()) * 10)
        self.asked.append((number, face.picture))
        return self._told.get((number, face.picture), PASSED)


def common(attempts: Sequence[Sequence[int]], checks: FakeChecks, maker: FakeMaker) -> CommonIdentity | None:
    faces = [Face(n, 0, face_at(20, 20, 20), "", crop=torch.zeros(1, 3, 4, 4)) for n in range(3)]
    identities = [[(Target(90.0, torch.tensor(float(number))),) for number in several] for several in attempts]
    return common_identity(faces, IMAGES, identities, maker, checks)


def number(found: CommonIdentity | None) -> int:
    assert found is not None
    return int(found.targets[0].vector)


def everywhere(numbers: Sequence[int], verdict: Verdict) -> dict[tuple[int, int], Verdict]:
    return {(number, picture): verdict for number in numbers for picture in range(3)}


def test_of_those_that_pass_in_every_picture_the_one_that_changes_least_is_taken() -> None:
    checks = FakeChecks({(1, 2): SHOWN})
    assert number(common([[3, 1, 2], [0]], checks, FakeMaker())) == 2
    assert checks.asked == [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)], "no more is looked at than must be"


def test_another_attempt_follows_where_none_passes_in_every_picture() -> None:
    assert number(common([[1], [2, 3], [4]], FakeChecks({(1, 0): SHOWN, (2, 1): SIMILAR}), FakeMaker())) == 3


def test_where_none_passes_everywhere_the_one_that_passes_in_most_pictures_is_taken() -> None:
    told = {**everywhere([1, 2, 3, 4], SHOWN), (1, 0): PASSED, (3, 0): PASSED, (3, 2): PASSED, (4, 0): PASSED}
    assert number(common([[1, 2], [3], [4]], FakeChecks(told), FakeMaker())) == 3
    assert common([[1, 2], [4]], FakeChecks(everywhere([1, 2, 4], SHOWN)), FakeMaker()) is None


@pytest.mark.parametrize(
    ("verdicts", "softened"),
    [
        ([STRUCTURED, STRUCTURED, STRUCTURED, STRUCTURED], True),
        ([SHOWN, STRUCTURED, STRUCTURED, STRUCTURED], False),  # one of an attempt's faces shows no structure
        ([STRUCTURED, SIMILAR, STRUCTURED, STRUCTURED], False),
    ],
)
def test_all_faces_are_softened_once_the_structure_of_one_has_shown_twice(
    verdicts: Sequence[Verdict], softened: bool
) -> None:
    told = {(n, 1): verdict for n, verdict in enumerate(verdicts, 1)}
    found = common([[1, 2], [3, 4], [5]], FakeChecks(told), FakeMaker(soften_after=2))
    assert number(found) == 5 and found is not None and found.softened == softened
