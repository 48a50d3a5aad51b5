"""One check of the gate: a question, its answer, and the numbers behind it."""

from collections.abc import Sequence
from dataclasses import dataclass

from audit.intervals import Rate
from audit.words import whole

SHOWN = 20
"""Offenders that a check names; all of them are counted."""


@dataclass(frozen=True)
class Check:
    """One question, its answer and the numbers behind it."""

    name: str
    question: str
    passed: bool
    decides: bool  # False: no limit is set, so it is reported only
    value: float | None
    limit: float | None
    rate: Rate | None  # with interval, where the value is a share
    detail: str
    offenders: tuple[str, ...] = ()  # the first 20 by id
    n_offenders: int = 0


def count_check(name: str, question: str, offenders: Sequence[str], limit: int | None, words: tuple[str, str]) -> Check:
    """A check that counts offenders; `words` are the sentence for none and what is counted."""
    n = len(offenders)
    return Check(
        name=name,
        question=question,
        passed=limit is None or n <= limit,
        decides=limit is not None,
        value=float(n),
        limit=None if limit is None else float(limit),
        rate=None,
        detail=f"{words[1]}: {whole(n)}." if n else words[0],
        offenders=tuple(offenders[:SHOWN]),
        n_offenders=n,
    )
