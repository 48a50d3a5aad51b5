"""Files that appear under their final name whole or not at all."""

import os
import secrets
from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text beside `path`, then move it there."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
