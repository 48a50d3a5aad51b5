import pytest

from audit.enrol import Pseudonyms
from audit.names import NameFinder, name_hashes

KEYS = Pseudonyms(b"0123456789abcdef")
FINDER = NameFinder(KEYS, name_hashes("José Núñez", KEYS) | name_hashes("Ada", KEYS))


@pytest.mark.parametrize(
    "text", ["jose_nunez_0001.jpg", "JoseNunez.png", "Núñez, José", "photo of JOSÉ NÚÑEZ at sea", "josenunez", "ada"]
)
def test_a_name_is_found_in_every_spelling(text: str) -> None:
    assert FINDER.holds_name(text)


@pytest.mark.parametrize("text", ["", "0001.jpg", "josephine", "canada", "nunez", "a portrait"])
def test_other_words_are_no_name(text: str) -> None:
    assert not FINDER.holds_name(text)


def test_folders_count_and_ids_do_not() -> None:
    assert FINDER.path_holds_name("train/Jose_Nunez/1.jpg")
    assert not name_hashes("celeba-102", KEYS) and not name_hashes("17", KEYS) and not name_hashes("", KEYS)
    assert "ada" not in "".join(name_hashes("Ada", KEYS))
