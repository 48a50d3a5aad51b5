import numpy as np
import pytest
import torch

from cfanet.align import crop_points, similarity_transform
from cfanet.config import AnonymizeSettings
from cfanet.covers import compose, cover_of
from cfanet.face import Face
from cfanet.obscure import obscured_region
from cfanet.paste import Patch, paste
from cfanet.records import Detection, ImageArray
from tests.cfanet.tiny import face_at, noise

IMAGE = noise(120, 200)
SIZE = 32
GREY = cover_of(AnonymizeSettings(obscurer="mask"))  # one flat grey


def replaced(found: Detection) -> Face:
    """A face whose new one, all white, was accepted."""
    matrix = similarity_transform(found.landmarks, crop_points(SIZE))
    return Face(0, 0, found, "", patch=Patch(torch.ones(1, 3, SIZE, SIZE), matrix))


class Seen:
    """Tells a face, or not, answer by answer; the last answer is for good."""

    def __init__(self, *answers: bool) -> None:
        self._answers = list(answers)

    def __call__(self, face: Face, picture: ImageArray) -> bool:
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


def judged(found: Detection) -> Face:
    """A face without a new one that recognizers have looked at."""
    return Face(0, 1, found, "", crop=torch.zeros(1, 3, SIZE, SIZE))


def at_features(picture: ImageArray, face: Face) -> ImageArray:
    """The pixels of a picture at the five features of a face; (5, 3)."""
    columns, rows = face.detection.landmarks.astype(int).T
    return picture[rows, columns]


def test_a_cover_goes_under_a_new_face_and_hides_all_else() -> None:
    passed, failed = replaced(face_at(60, 60, 50)), Face(0, 1, face_at(100, 60, 50), "")
    found = compose(IMAGE, [passed, failed], GREY, Seen(False))
    assert passed.patch is not None
    left, top, right, bottom = obscured_region(failed.box, 200, 120)
    assert (found[50:70, left:75] == 255).all(), "the part of the new face that lies in the cover"
    assert (found[top + 10 : bottom - 10, 100 : right - 10] == 128).all()
    assert not failed.hidden


def test_where_a_neighbour_can_still_be_told_each_keeps_what_lies_deeper_in_it() -> None:
    passed, failed = replaced(face_at(60, 60, 50)), Face(0, 1, face_at(100, 60, 50), "")
    found = compose(IMAGE, [passed, failed], GREY, Seen(True))
    assert (found[50:70, 45:70] == 255).all()
    assert (found[50:70, 70:79] > 128).all(), "its rim is new face and cover, and nothing else"
    assert (found[50:70, 81:130] == 128).all(), "of two equal faces the border lies in the middle"


def test_what_surrounds_a_new_face_is_spared_where_the_covered_one_ends() -> None:
    passed, failed = replaced(face_at(60, 60, 50)), Face(0, 1, face_at(100, 60, 50), "")
    found = compose(IMAGE, [passed, failed], GREY, Seen(False))
    alone = GREY(IMAGE, failed.box, [], IMAGE)
    spared = (slice(17, 22), slice(62, 68))  # above the new face
    assert np.array_equal(found[spared], IMAGE[spared]) and not np.array_equal(alone[spared], IMAGE[spared])
    y, x = np.ogrid[:120, :200]
    inside = np.hypot(x + 0.5 - 100, y + 0.5 - 60) <= 25
    assert (found[inside] >= 128).all(), "of the covered face nothing is: all is cover or white"


def test_a_new_face_does_not_fade_into_a_cover() -> None:
    passed, failed = replaced(face_at(60, 60, 50)), Face(0, 1, face_at(100, 60, 50), "")
    assert passed.patch is not None
    soft = paste(GREY(IMAGE, failed.box, [], IMAGE), [passed.patch])
    found = compose(IMAGE, [passed, failed], GREY, Seen(False))
    rim = (slice(40, 46), slice(76, 79))
    assert found[rim].mean() > soft[rim].mean() + 5


def test_features_of_one_whom_nobody_can_judge_lie_under_the_cover() -> None:
    passed, failed = replaced(face_at(60, 60, 50)), Face(0, 1, face_at(80, 60, 50), "")
    before = compose(IMAGE, [passed, failed], GREY, Seen(False))
    found = compose(IMAGE, [passed, failed], GREY, Seen(True))
    assert (at_features(before, failed) != 128).any()
    assert (at_features(found, failed) == 128).all()
    assert (found[50:70, 45:60] == 255).all(), "and the new face keeps the rest"


def test_one_who_is_told_by_the_surroundings_is_covered_like_one_whom_nobody_can_judge() -> None:
    passed, place = replaced(face_at(60, 60, 50)), face_at(80, 60, 50)
    found = [compose(IMAGE, [passed, failed], GREY, Seen(True)) for failed in (judged(place), Face(0, 1, place, ""))]
    assert np.array_equal(*found)


def test_whoever_is_seen_under_each_part_of_a_cover_is_covered_whatever_lies_there() -> None:
    passed, failed = replaced(face_at(60, 60, 50)), judged(face_at(100, 60, 50))
    found = compose(IMAGE, [passed, failed], GREY, Seen(True, False, True))
    left, top, right, bottom = obscured_region(failed.box, 200, 120)
    assert (found[top + 10 : bottom - 10, left + 10 : right - 10] == 128).all()


def test_a_cover_takes_no_more_than_it_must_to_hide_a_face() -> None:
    passed, failed = replaced(face_at(60, 60, 50)), judged(face_at(85, 60, 50))
    half, more, most = (
        compose(IMAGE, [passed, failed], GREY, Seen(True, False, *told))
        for told in ([False], [True, False], [True, True, True, False])
    )
    assert (half[50:70, 45:71] == 255).all() and (half[50:70, 74:115] == 128).all()
    new = [int((found[50:70, 40:85] == 255).all(axis=2).sum()) for found in (half, more, most)]
    assert new[0] > new[1] > new[2] > 0


def test_a_filled_cover_takes_nothing_of_a_face_that_is_replaced() -> None:
    passed, failed = replaced(face_at(60, 60, 40)), Face(0, 1, face_at(120, 60, 40), "")
    left, top, right, bottom = obscured_region(passed.box, 200, 120)
    other = IMAGE.copy()
    other[top:bottom, left:right] = 255 - IMAGE[top:bottom, left:right]
    fill = cover_of(AnonymizeSettings())
    found, again = (compose(image, [passed, failed], fill, Seen(False)) for image in (IMAGE, other))
    x0, y0, x1, y1 = obscured_region(failed.box, 200, 120)
    inside = (slice(y0 + 10, y1 - 10), slice(x0 + 10, x1 - 10))
    assert np.array_equal(found[inside], again[inside]) and found[inside].std() > 0


def test_a_filled_cover_lies_on_a_new_face_where_somebody_can_still_be_told() -> None:
    passed, failed = replaced(face_at(60, 60, 50)), judged(face_at(80, 60, 50))
    found = compose(IMAGE, [passed, failed], cover_of(AnonymizeSettings()), Seen(True, False, True))
    left, top, right, bottom = obscured_region(failed.box, 200, 120)
    inside = found[top + 10 : bottom - 10, left + 10 : right - 10].astype(int)
    assert (inside < 255).all(), "the new face does not show"
    assert inside.std() < 0.3 * IMAGE.std(), "nor what was there"


def test_a_cover_laid_again_is_filled_like_the_first() -> None:
    passed, failed = replaced(face_at(60, 60, 50)), Face(0, 1, face_at(114, 60, 50), "")
    fill = cover_of(AnonymizeSettings())
    once = compose(IMAGE, [passed, failed], fill, Seen(False))
    again = compose(IMAGE, [passed, failed], fill, Seen(True))
    left, top, right, bottom = obscured_region(failed.box, 200, 120)
    crossed = (once == 255).all(axis=2)[top:bottom, left:right].mean()
    assert 0 < crossed < 0.1, "a new face lies across a little of the cover"
    inside = (slice(top + 10, bottom - 10), slice(left + 20, right - 10))
    assert again[inside].std() > 0
    assert np.abs(once[inside].astype(int) - again[inside]).mean() < 5


def test_nobody_is_looked_for_in_a_cover_that_no_new_face_crosses() -> None:
    passed, failed = replaced(face_at(40, 60, 40)), Face(0, 1, face_at(150, 60, 50), "")
    assert passed.patch is not None
    found = compose(IMAGE, [passed, failed], GREY, Seen())
    assert np.array_equal(found, paste(GREY(IMAGE, failed.box, [], IMAGE), [passed.patch]))


@pytest.mark.parametrize("told", [(False,), (True, False), (True, True)])
def test_a_face_under_a_new_one_is_covered_only_where_it_can_be_told(told: tuple[bool, ...]) -> None:
    passed, failed = replaced(face_at(60, 60, 50)), Face(0, 1, face_at(63, 62, 34), "")
    found = compose(IMAGE, [passed, failed], GREY, Seen(*told))
    assert passed.patch is not None
    assert failed.hidden == (not told[0])
    assert np.array_equal(found, paste(IMAGE, [passed.patch])) == failed.hidden
    assert (at_features(found, failed) == (128 if told == (True, True) else 255)).all()


@pytest.mark.parametrize("method", ["blur", "pixelate", "mask", "inpaint", "fixed-blur", "fixed-pixelate", "cfa"])
def test_a_cover_changes_its_box_alone_and_is_a_copy(method: str) -> None:
    before, box = IMAGE.copy(), face_at(60, 60, 50).box
    covered = cover_of(AnonymizeSettings.model_validate({"method": method}))(IMAGE, box, [box], IMAGE)
    assert np.array_equal(IMAGE, before)
    assert (covered[40:80, 40:80] != IMAGE[40:80, 40:80]).mean() > 0.9
    assert np.array_equal(covered[:, 150:], IMAGE[:, 150:])
