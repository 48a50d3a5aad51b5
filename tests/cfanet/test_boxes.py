import pytest

from cfanet.boxes import area, iou, overlap, share_inside

LEFT, RIGHT = (10.0, 10.0, 50.0, 60.0), (100.0, 10.0, 140.0, 60.0)


def test_iou_of_equal_disjoint_and_half_boxes() -> None:
    assert iou(LEFT, LEFT) == 1.0
    assert iou(LEFT, RIGHT) == 0.0
    assert iou((0, 0, 2, 1), (1, 0, 3, 1)) == pytest.approx(1 / 3)


def test_overlap_is_a_share_of_the_smaller_box() -> None:
    assert overlap((0, 0, 10, 10), (5, 0, 25, 10)) == pytest.approx(0.5)
    assert overlap((0, 0, 10, 10), (2, 2, 4, 4)) == pytest.approx(1.0)
    assert overlap((0, 0, 10, 10), (20, 0, 30, 10)) == 0.0


def test_the_share_of_a_box_that_lies_in_the_picture() -> None:
    assert share_inside(LEFT, 60, 50) == 1.0
    assert share_inside((-10, 0, 30, 20), 100, 100) == pytest.approx(0.75)
    assert share_inside((10, 10, 30, 30), 20, 100) == pytest.approx(0.5)  # rows, then columns
    assert share_inside(RIGHT, 60, 100) == 0.0


def test_an_empty_box_has_no_area_and_shares_nothing() -> None:
    empty = (5.0, 5.0, 5.0, 9.0)
    assert (area(empty), iou(empty, LEFT), overlap(empty, LEFT), share_inside(empty, 10, 10)) == (0.0, 0.0, 0.0, 0.0)
