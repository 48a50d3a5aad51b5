"""The list of pairs: what is read, what is refused, and what a limit keeps."""

from pathlib import Path

import pytest

from cfanet.errors import InputError
from training.evaluation.pairs import Pair, first_of_each_fold, read_pairs

GOOD = "fold,left,right,same\n0,a,b,1\n0,a,c,0\n0,b,c,0\n1,c,d,1\n1,b,d,0\n1,c,b,1\n"


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_pairs_are_read_in_order(tmp_path: Path) -> None:
    pairs = read_pairs(write(tmp_path / "p.csv", GOOD), "abcd")
    assert pairs[0] == Pair(0, "a", "b", True) and pairs[4] == Pair(1, "b", "d", False) and len(pairs) == 6


def test_a_limit_is_spread_over_folds_and_kinds(tmp_path: Path) -> None:
    pairs = read_pairs(write(tmp_path / "p.csv", GOOD), "abcd")
    assert first_of_each_fold(pairs, None) == pairs
    kept = first_of_each_fold(pairs, 2)
    assert sorted((p.fold, p.same) for p in kept) == [(0, False), (0, True), (1, False), (1, True)]
    assert [(p.fold, p.same) for p in first_of_each_fold(pairs, 1)] == [(0, True), (0, False)]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("left,right\na,b\n", "must name the columns fold,left,right,same"),
        (GOOD.replace("1,b,d,0", "x,b,d,0"), "line 6: `fold` must be a number"),
        (GOOD.replace("1,b,d,0", "1,b,d,2"), "`same` 0 or 1"),
        (GOOD.replace("1,b,d,0", "1,b,zoe,0"), "line 6: no picture 'zoe' in SRC"),
        (GOOD.replace("1,b,d,0\n", ""), "different pairs in fewer than two folds"),
    ],
)
def test_a_wrong_list_is_refused_in_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        read_pairs(write(tmp_path / "p.csv", text), "abcd")


def test_a_missing_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_pairs(tmp_path / "none.csv", "ab")
