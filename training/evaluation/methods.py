"""Ways to anonymize, by name: the product's, the older ones, and pictures that any other program made."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from cfanet.config import Method
from cfanet.errors import ConfigError

BORROWING = ("k-same", "k-same-eigen", "donor-swap")
RELEASED = "released"


@dataclass(frozen=True)
class MethodChoice:
    """What `--method` says."""

    name: str  # as it is written in tables and file names
    settings: Mapping[str, Any]  # of AnonymizeSettings
    released: Path | None = None  # folder of another program's pictures


def parse_method(spec: str) -> MethodChoice:
    """`cfa`, `blur`, …; `k-same:DONORS` and its like with a file of donors; `released:FOLDER`.

    ConfigError for an unknown name or a missing file.
    """
    name, _, rest = spec.partition(":")
    if name == RELEASED:
        folder = Path(rest)
        if not rest or not folder.is_dir():
            raise ConfigError(f"--method {spec!r}: write released:FOLDER, a folder that holds <key>.jpg files")
        return MethodChoice(folder.name, {"method": "mask"}, folder)
    if name not in get_args(Method):
        known = ", ".join((*get_args(Method), f"{RELEASED}:FOLDER"))
        raise ConfigError(f"unknown method {spec!r}: use one of {known}")
    if (name in BORROWING) != bool(rest):
        wanted = f"{name}:DONORS, a file of `cfanet evaluate donors`" if name in BORROWING else name
        raise ConfigError(f"--method {spec!r}: write {wanted}")
    return MethodChoice(name, {"method": name, "donors": {"file": rest}} if rest else {"method": name})
