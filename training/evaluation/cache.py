"""What was computed once is not computed again: a file of values under digests of everything they depend on.

Holds embeddings, which are biometric data: keep the folder as you keep the originals.
"""

import ast
import functools
import hashlib
import sqlite3
import time
from pathlib import Path

_WAIT_S = 120.0  # for another process that is writing to the same file


class Cache:
    """Bytes by key in one SQLite file; every `put` is durable, so a killed run loses nothing it had finished."""

    def __init__(self, path: Path) -> None:
        """Open or create the file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(path, isolation_level=None, timeout=_WAIT_S)
        _write_ahead(self._database)
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.execute("CREATE TABLE IF NOT EXISTS entry (key TEXT PRIMARY KEY, value BLOB NOT NULL)")

    def get(self, key: str) -> bytes | None:
        """The value, or None."""
        row = self._database.execute("SELECT value FROM entry WHERE key = ?", (key,)).fetchone()
        return None if row is None else bytes(row[0])

    def put(self, key: str, value: bytes) -> None:
        """Keep a value; the same key always means the same value."""
        self._database.execute("INSERT OR REPLACE INTO entry VALUES (?, ?)", (key, value))


def _write_ahead(database: sqlite3.Connection) -> None:
    """Switch to write-ahead logging, for which SQLite itself does not wait while another process writes."""
    end = time.monotonic() + _WAIT_S
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.05)


def key_of(*parts: str | bytes) -> str:
    """SHA-256 of the parts and their borders, hex."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


def code_digest(*files: Path) -> str:
    """SHA-256 of what source files do, hex: a value made by other code is another value; comments are no code."""
    return key_of(*(_without_prose(file.read_text(encoding="utf-8")) for file in sorted(files)))


@functools.lru_cache(maxsize=128)  # every part of a run asks for the same few files
def _without_prose(source: str) -> str:
    """The program as a syntax tree without comments, layout and docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)
