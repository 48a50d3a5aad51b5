from pathlib import Path

import pytest
import torch

from cfanet.errors import InputError
from cfanet.seeds import SeedKey

KEY = SeedKey(b"0123456789abcdef0123456789abcdef")


def draw(key: SeedKey, sample: str, face: int, attempt: int) -> list[float]:
    values: list[float] = torch.randn(4, generator=key.generator(sample, face, attempt)).tolist()
    return values


def test_the_same_coordinates_give_the_same_numbers_and_any_other_gives_others() -> None:
    base = draw(KEY, "a", 0, 0)
    assert draw(KEY, "a", 0, 0) == base
    others = [draw(KEY, "b", 0, 0), draw(KEY, "a", 1, 0), draw(KEY, "a", 0, 1), draw(SeedKey.random(), "a", 0, 0)]
    assert all(other != base for other in others)


def test_coordinates_are_not_confused() -> None:
    assert KEY.digest("a", 1, 12) != KEY.digest("a", 11, 2)


def test_neither_fingerprint_nor_seed_id_nor_repr_shows_the_key() -> None:
    shown = KEY.fingerprint + KEY.seed_id("a", 0) + repr(KEY)
    assert KEY.secret.hex()[:8] not in shown
    assert KEY.secret.decode() not in shown
    assert KEY.seed_id("a", 0) not in KEY.digest("a", 0, 0).hex()


def test_a_key_file_is_read_and_a_bad_one_is_refused(tmp_path: Path) -> None:
    good, short = tmp_path / "key", tmp_path / "short"
    good.write_bytes(KEY.secret)
    short.write_bytes(b"abc")
    assert SeedKey.from_file(good).fingerprint == KEY.fingerprint
    with pytest.raises(InputError, match="3 bytes"):
        SeedKey.from_file(short)
    with pytest.raises(InputError, match="cannot be read"):
        SeedKey.from_file(tmp_path / "missing")
