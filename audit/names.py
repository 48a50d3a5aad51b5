"""Names of enrolled people in file names and texts, found without keeping the names: the gallery holds keyed hashes.

A label counts as a name when it has letters only and at least three of them; labels with digits are taken as ids.
"""

import re
import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath

from audit.enrol import Pseudonyms

_MIN_LETTERS = 3
_MAX_WORDS = 5
_MAX_TEXT = 1_000_000


def words(text: str) -> list[str]:
    """Words of a text: lower case, without accents, split at everything that is no letter and at inner capitals."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    plain = unicodedata.normalize("NFKD", spaced).casefold()
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    return [word for word in re.split(r"[\W\d_]+", plain) if word]


def name_hashes(label: str, pseudonyms: Pseudonyms) -> frozenset[str]:
    """Keyed hashes of a label in both orders of its words; empty for a label that is no name."""
    parts = words(label)
    if any(c.isdigit() for c in label) or sum(map(len, parts)) < _MIN_LETTERS or len(parts) > _MAX_WORDS:
        return frozenset()
    return frozenset(pseudonyms.of(_tag(joined)) for joined in ("".join(parts), "".join(parts[::-1])))


class NameFinder:
    """Looks for enrolled names in file names and texts."""

    def __init__(self, pseudonyms: Pseudonyms, hashes: Iterable[str]) -> None:
        """Search for the names behind `hashes`, made by the same `pseudonyms`."""
        self._pseudonyms = pseudonyms
        self._hashes = frozenset(hashes)

    def holds_name(self, text: str) -> bool:
        """True when an enrolled name stands in the text as whole words, in any spelling of case and separators."""
        if not self._hashes:
            return False
        found = words(text[:_MAX_TEXT])
        seen = {
            "".join(found[start : start + length])
            for length in range(1, _MAX_WORDS + 1)
            for start in range(len(found) - length + 1)
        }
        return any(self._pseudonyms.of(_tag(joined)) in self._hashes for joined in seen if len(joined) >= _MIN_LETTERS)

    def path_holds_name(self, path: str) -> bool:
        """The same for the folders and the name of a file."""
        return any(self.holds_name(part) for part in PurePosixPath(path).parts)


def _tag(joined: str) -> str:
    return f"name:{joined}"
