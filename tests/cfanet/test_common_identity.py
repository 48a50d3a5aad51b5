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

SOFTEN_AFTER = 2  # attempts
IMAGES = [noise(40, 40, seed=n) for n in range(3)]
PASSED, SHOWN, STRUCTURED = Verdict(True, False, True), Verdict(False, False, False), Verdict(False, True, False)
SIMILAR = Verdict(True, False, False)  # to somebody of the gallery


class FakeMaker:
    """A new face is brighter than the old one by a tenth of its identity's number."""

    def patches(self, wanted: Sequence[tuple[Face, Sequence[Tensor]]]) -> Iterator[list[Patch]]:
        for face, vectors in wanted:
            assert face.crop is not None
            if face.structured >= SOFTEN_AFTER:
                face.softened = face.crop
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


def common(attempts: Sequence[Sequence[int]], checks: FakeChecks) -> CommonIdentity | None:
    faces = [Face(n, 0, face_at(20, 20, 20), "", crop=torch.zeros(1, 3, 4, 4)) for n in range(3)]
    identities = [[(Target(90.0, torch.tensor(float(number))),) for number in several] for several in attempts]
    found = common_identity(faces, IMAGES, identities, FakeMaker(), checks)
    assert len({face.structured for face in faces}) == 1, "they are softened together"
    return found


def number(found: CommonIdentity | None) -> int:
    assert found is not None
    return int(found.targets[0].vector)


def everywhere(numbers: Sequence[int], verdict: Verdict) -> dict[tuple[int, int], Verdict]:
    return {(number, picture): verdict for number in numbers for picture in range(3)}


def test_of_those_that_pass_in_every_picture_the_one_that_changes_least_is_taken() -> None:
    checks = FakeChecks({(1, 2): SHOWN})
    assert number(common([[3, 1, 2], [0]], checks)) == 2
    assert {number for number, _ in checks.asked} == {1, 2}, "no more is looked at than must be"


def test_what_fails_in_one_picture_is_not_tried_in_others() -> None:
    checks = FakeChecks({(1, 1): SHOWN, (2, 1): SIMILAR, (3, 0): SHOWN, (4, 2): SHOWN})
    assert number(common([[1, 2, 3], [4, 5]], checks)) == 5
    first = [(1, 1), (2, 1), (3, 1), (3, 0), (3, 2)]
    assert checks.asked == [*first, (4, 2), (5, 2), (5, 0), (5, 1)], "first in the middle, then in the next one"


def test_another_attempt_follows_where_none_passes_in_every_picture() -> None:
    assert number(common([[1], [2, 3], [4]], FakeChecks({(1, 0): SHOWN, (2, 1): SIMILAR}))) == 3


def test_where_none_passes_everywhere_the_one_that_passes_in_most_pictures_is_taken() -> None:
    told = {(1, 2): SHOWN, (1, 0): SHOWN, (2, 0): SHOWN, **everywhere([3], SHOWN), (4, 1): SHOWN, (5, 1): SHOWN}
    assert number(common([[1, 2, 3], [4], [5]], FakeChecks(told))) == 2
    assert common([[1, 2], [4]], FakeChecks(everywhere([1, 2, 4], SHOWN))) is None


@pytest.mark.parametrize(
    ("verdicts", "softened"),
    [
        ([STRUCTURED, STRUCTURED, STRUCTURED, STRUCTURED], True),
        ([STRUCTURED, SHOWN, STRUCTURED, STRUCTURED], False),  # one of an attempt's candidates shows no structure
        ([SHOWN, STRUCTURED, STRUCTURED, STRUCTURED], False),
        ([STRUCTURED, SIMILAR, STRUCTURED, STRUCTURED], False),
    ],
)
@pytest.mark.parametrize("picture", [0, 1, 2])
def test_all_faces_are_softened_once_structure_has_shown_in_every_candidate_twice(
    verdicts: Sequence[Verdict], softened: bool, picture: int
) -> None:
    told = {(n, picture): verdict for n, verdict in enumerate(verdicts, 1)}
    found = common([[1, 2], [3, 4], [5]], FakeChecks(told))
    assert number(found) == 5 and found is not None and found.softened == softened
