"""What an attacker holds: released faces with their originals, in a fixed order."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audit.gallery import Gallery
from cfanet.records import Embeddings

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Faces:
    """Released faces and the originals they were made from, row by row, by one recognizer."""

    recognizer: str
    released: Embeddings  # (N, d)
    originals: Embeddings  # (N, d)
    subjects: tuple[str, ...]  # pseudonyms, "" where unknown

    def __len__(self) -> int:
        return len(self.subjects)


def pair_faces(recognizer: str, released: Gallery, originals: Gallery, at_most: int) -> Faces:
    """Pair released faces with their originals by reference id; more than `at_most` are thinned evenly."""
    position = {name: row for row, name in enumerate(originals.references.ids)}
    known = [row for row, name in enumerate(released.references.ids) if name in position]
    known = known[:: -(-len(known) // at_most)] if known else known
    theirs = [position[released.references.ids[row]] for row in known]
    return Faces(
        recognizer,
        released.references.embeddings[known],
        originals.references.embeddings[theirs],
        tuple(originals.subjects[row] for row in theirs),
    )


def codes_of(subjects: tuple[str, ...]) -> Indices:
    """Integer codes (N,) of labelled subjects, −1 where unknown."""
    people = {name: code for code, name in enumerate(sorted(set(subjects) - {""}))}
    return np.array([people.get(name, -1) for name in subjects], dtype=np.int64)
