"""Values survive, and keys tell parts apart."""

from pathlib import Path

from training.evaluation.cache import Cache, code_digest, key_of


def test_a_value_is_there_after_reopening(tmp_path: Path) -> None:
    first = Cache(tmp_path / "deep" / "c.sqlite")
    first.put("k", b"\x00value")
    assert Cache(tmp_path / "deep" / "c.sqlite").get("k") == b"\x00value"
    assert first.get("other") is None


def test_borders_between_parts_count() -> None:
    assert len({key_of("ab", "c"), key_of("a", "bc"), key_of("abc"), key_of("ab", b"c", "")}) == 4
    assert key_of("a", b"b") == key_of(b"a", "b")


def test_code_is_known_by_its_bytes(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("x = 1")
    before = code_digest(file)
    file.write_text("x = 2")
    assert code_digest(file) != before
