"""Values survive, and keys tell parts apart."""

import sqlite3
import threading
from pathlib import Path

from training.evaluation.cache import Cache, code_digest, key_of


def test_a_value_is_there_after_reopening(tmp_path: Path) -> None:
    first = Cache(tmp_path / "deep" / "c.sqlite")
    first.put("k", b"\x00value")
    assert Cache(tmp_path / "deep" / "c.sqlite").get("k") == b"\x00value"
    assert first.get("other") is None


def test_a_new_file_that_another_process_is_writing_to_is_waited_for(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "c.sqlite", isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE theirs (x)")
    other.execute("BEGIN IMMEDIATE")
    other.execute("INSERT INTO theirs VALUES (1)")
    done = threading.Timer(0.5, lambda: other.execute("COMMIT"))
    done.start()
    cache = Cache(tmp_path / "c.sqlite")
    done.join()
    cache.put("k", b"value")
    assert cache.get("k") == b"value"


def test_borders_between_parts_count() -> None:
    assert len({key_of("ab", "c"), key_of("a", "bc"), key_of("abc"), key_of("ab", b"c", "")}) == 4
    assert key_of("a", b"b") == key_of(b"a", "b")


def test_code_is_known_by_its_bytes(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("x = 1")
    before = code_digest(file)
    file.write_text("x = 2")
    assert code_digest(file) != before
