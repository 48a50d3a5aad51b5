"""The list of verification pairs: a CSV with the columns `fold,left,right,same`."""

import csv
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cfanet.errors import InputError

COLUMNS = ("fold", "left", "right", "same")


@dataclass(frozen=True)
class Pair:
    """Two pictures, by sample key, of one person or of two."""

    fold: int
    left: str
    right: str
    same: bool


def read_pairs(path: Path, known: Iterable[str]) -> tuple[Pair, ...]:
    """Read the pairs; InputError names the line of a wrong value or of a picture that is not among `known` keys."""
    keys = set(known)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if reader.fieldnames is None or not set(COLUMNS) <= set(reader.fieldnames):
                raise InputError(f"{path}: the first line must name the columns {','.join(COLUMNS)}")
            pairs = [_pair(path, reader.line_num, row, keys) for row in reader]
    except OSError as error:
        raise InputError(f"pairs file {path} cannot be read ({error.strerror}): give a readable CSV") from error
    folds = {pair.fold for pair in pairs}
    for same in (True, False):
        if len({pair.fold for pair in pairs if pair.same is same}) < 2 or not folds:
            kind = "same" if same else "different"
            raise InputError(f"{path} has {kind} pairs in fewer than two folds: thresholds come from the other folds")
    return tuple(pairs)


def first_of_each_fold(pairs: tuple[Pair, ...], limit: int | None) -> tuple[Pair, ...]:
    """At most `limit` same and `limit` different pairs, spread evenly over the folds, in order."""
    if limit is None:
        return pairs
    folds = sorted({pair.fold for pair in pairs})
    share = {fold: limit // len(folds) + (position < limit % len(folds)) for position, fold in enumerate(folds)}
    taken: Counter[tuple[int, bool]] = Counter()
    kept = []
    for pair in pairs:
        taken[pair.fold, pair.same] += 1
        if taken[pair.fold, pair.same] <= share[pair.fold]:
            kept.append(pair)
    return tuple(kept)


def _pair(path: Path, line: int, row: dict[str, str], keys: set[str]) -> Pair:
    if not row["fold"].isdecimal() or row["same"] not in {"0", "1"}:
        raise InputError(f"{path}, line {line}: `fold` must be a number and `same` 0 or 1")
    for side in ("left", "right"):
        if row[side] not in keys:
            raise InputError(
                f"{path}, line {line}: no picture {row[side]!r} in SRC: give the shards the pairs belong to"
            )
    return Pair(int(row["fold"]), row["left"], row["right"], row["same"] == "1")
