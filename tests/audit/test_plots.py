import xml.etree.ElementTree as ElementTree

from audit.plots import angle_plot, similarity_plot


def _counts(*at: int) -> list[int]:
    counts = [0] * 200
    for position in at:
        counts[position] += 1
    return counts


def test_equal_figures_give_equal_well_formed_svg() -> None:
    series = {"nonmated": _counts(0, 100, 120), "replaced": _counts(110, 199)}
    first = similarity_plot(series, 0.5, "one")
    assert first == similarity_plot(series, 0.5, "one")
    assert ElementTree.fromstring(first).tag.endswith("svg")
    assert "threshold 0.500" in first
    assert "different people (3)" in first


def test_series_without_counts_are_left_out_and_nothing_at_all_can_be_drawn() -> None:
    assert "same person" not in similarity_plot({"nonmated": _counts(1), "mated": _counts()}, None, "one")
    assert ElementTree.fromstring(similarity_plot({}, None, "none")).tag.endswith("svg")


def test_the_angle_plot_counts_its_faces() -> None:
    series = [{"name": "z", "cells": [[90, 88, 3], [120, 111, 2]]}, {"name": "dlib", "cells": [[90, 20, 5]]}]
    drawn = angle_plot(series, "angles")
    assert ElementTree.fromstring(drawn).tag.endswith("svg")
    assert "z (5)" in drawn
    assert "dlib (5)" in drawn
