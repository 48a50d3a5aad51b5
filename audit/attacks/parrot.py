"""The adaptive ("parrot") attacker: learns known people from their *anonymized* pictures, and names new ones.

A linear head (ridge regression to one-hot people) on the frozen recognizer's embeddings, trained on every other
released picture of each known person and asked about the rest. Positive control: the same on the originals. Negative
control: trained on shuffled people.
"""

import numpy as np

from audit.attacks.faces import Faces, Indices, codes_of
from audit.attacks.ridge import fit, predict
from audit.config import AttackSettings
from audit.records import AttackResult
from cfanet.records import Embeddings


def parrot(faces: Faces, settings: AttackSettings) -> list[AttackResult]:
    """The attack and its controls; one result with n = 0 and the reason where the data are too few."""
    codes = codes_of(faces.subjects)
    counts = np.bincount(codes[codes >= 0])
    people = np.flatnonzero(counts >= settings.min_pictures)
    if len(people) < settings.min_people:
        reason = (
            f"skipped: {len(people)} people have {settings.min_pictures} released pictures or more, "
            f"{settings.min_people} are needed"
        )
        return [AttackResult("parrot", faces.recognizer, "attack", 0, 0, 0.0, reason)]
    rows = np.flatnonzero(np.isin(codes, people))
    known = np.searchsorted(people, codes[rows])
    train = _every_other(known)
    random = np.random.default_rng(settings.seed)
    shuffled = known.copy()
    shuffled[train] = random.permutation(known[train])
    done = f"a linear head names {len(people)} people, taught {int(train.sum())} pictures"
    results = []
    for role, embeddings, taught, words in (
        ("attack", faces.released[rows], known, f"{done} that were released"),
        ("positive_control", faces.originals[rows], known, f"{done} of the originals"),
        ("negative_control", faces.released[rows], shuffled, f"{done} under shuffled people"),
    ):
        hits = _named(embeddings, taught, known, train)
        n, chance = int((~train).sum()), 1.0 / len(people)
        results.append(AttackResult("parrot", faces.recognizer, role, hits, n, chance, words))  # type: ignore[arg-type]
    return results


def _every_other(codes: Indices) -> "np.typing.NDArray[np.bool_]":
    """True for the first, third, … row of each code (N,)."""
    seen: dict[int, int] = {}
    chosen = np.zeros(len(codes), dtype=bool)
    for row, code in enumerate(codes.tolist()):
        chosen[row] = seen.get(code, 0) % 2 == 0
        seen[code] = seen.get(code, 0) + 1
    return chosen


def _named(embeddings: Embeddings, taught: Indices, true: Indices, train: "np.typing.NDArray[np.bool_]") -> int:
    """How many pictures outside `train` are given their true person."""
    one_hot = np.eye(int(true.max()) + 1)[taught[train]]
    weights = fit(embeddings[train].astype(np.float64), one_hot)
    named = predict(weights, embeddings[~train].astype(np.float64)).argmax(axis=1)
    return int((named == true[~train]).sum())
