"""Figures are drawn from the values beside the documents, and what they show is what is there."""

from pathlib import Path

import numpy as np
from PIL import Image

from training.evaluation.figures import MethodRow, draw_experiments, judges_of, method_rows, variants_of
from training.evaluation.quantities import NotMeasured, mean, proportion

RNG = np.random.default_rng(0)
LFW = {
    "dlib|raw|genuine": RNG.normal(0.95, 0.02, 200),
    "dlib|raw|impostor": RNG.normal(0.8, 0.03, 200),
    "dlib|cfa, loop on|genuine": RNG.normal(0.82, 0.03, 200),
    "dlib|far": np.array([np.logspace(-4, 0, 20), np.linspace(0.95, 0.6, 20)]),
    "dlib|cfa, loop on|rank before": np.ones(50),
    "dlib|cfa, loop on|rank after": RNG.integers(1, 900, 50),
}


def test_names_are_found_in_the_values() -> None:
    assert judges_of(LFW, "genuine") == ["dlib"]
    assert variants_of(LFW, "dlib", "genuine") == variants_of(LFW, "dlib", "rank after") == ["cfa, loop on"]


def test_what_has_values_is_drawn_and_nothing_else(tmp_path: Path) -> None:
    np.savez(tmp_path / "lfw.npz", allow_pickle=False, **LFW)
    made = draw_experiments(tmp_path, tmp_path / "figures")
    assert [path.name for path in made] == ["similarity.png", "det.png", "ranks.png"]
    for path in made:
        assert np.asarray(Image.open(path).convert("L")).std() > 5, "not empty"


def test_methods_without_a_value_are_left_out(tmp_path: Path) -> None:
    rows = [
        MethodRow("mask", proportion(0, 0), mean([0.3, 0.4]), proportion(0, 90)),
        MethodRow("cfa, loop on", proportion(1, 90), mean([0.8, 0.9]), NotMeasured("no detector")),
    ]
    path = method_rows(rows, tmp_path / "methods.png", "dlib")
    assert np.asarray(Image.open(path).convert("L")).std() > 5
