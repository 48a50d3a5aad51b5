"""Ranks in a gallery that is small enough to count."""

import numpy as np

from training.evaluation.quantities import Measured
from training.evaluation.ranks import Probe, rank_tables, search_all, search_probe

KEYS, PEOPLE = np.array(["a1", "a2", "b1", "c1"]), np.array(["a", "a", "b", "c"])
ROWS = np.array([[1, 0], [0.8, 0.6], [0.6, 0.8], [0, 1]], dtype=np.float32)


def test_the_own_picture_is_counted_apart() -> None:
    found = search_probe(np.array([0.0, 1.0]), "a1", "a", (KEYS, PEOPLE, ROWS))
    assert found.rank == 3  # c1 1.0, b1 0.8, then a2 0.6
    assert found.rank_own == 3 and found.best_anyone == 1.0 and found.best_stranger == 1.0
    alone = search_probe(np.array([1.0, 0.0]), "c1", "c", (KEYS, PEOPLE, ROWS))
    assert alone.rank is None and alone.rank_own == 4 and alone.best_anyone == 1.0


def test_tables_hold_before_and_after() -> None:
    probes = [Probe("a1", "a", ROWS[0], ROWS[3]), Probe("c1", "c", ROWS[3], ROWS[0])]
    ranks, matches = rank_tables("t", search_all(probes, KEYS.tolist(), PEOPLE.tolist(), ROWS), 0.9)
    first = {str(row[0]): row[1] for row in ranks.rows}
    before, after = first["before, own picture left out"], first["after, own original in the gallery"]
    assert isinstance(before, Measured) and (before.hits, before.n) == (1, 1)  # c has no other picture
    assert isinstance(after, Measured) and (after.hits, after.n) == (0, 2)
    below = matches.rows[0][1]
    assert isinstance(below, Measured) and (below.hits, below.n) == (0, 2)
