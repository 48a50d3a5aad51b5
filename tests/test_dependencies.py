"""What is imported is declared, and what is declared is used."""

import re
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions

from tests.sources import PACKAGES, ROOT, imports, parse, sources

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NOT_IMPORTED = {
    "psycopg": "SQLAlchemy's driver, chosen by a postgresql:// URL",
    "ruff": "make check",
    "mypy": "make check",
    "pytest-timeout": "a plugin",
}
OURS = {*PACKAGES, "benchmarks", "tests"}
# dlib's wheel does not list the module; OpenCV comes with an extra that is not installed for the tests.
DISTRIBUTIONS = packages_distributions() | {"dlib": ["dlib-bin"], "cv2": ["opencv-python"]}


def normal(name: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def names(requirements: list[str]) -> set[str]:
    return {normal(re.split(r"[^\w.-]", requirement)[0]) for requirement in requirements} - {"cfanet"}


RUNTIME = names(PROJECT["dependencies"])
EXTRAS = names([requirement for group in PROJECT["optional-dependencies"].values() for requirement in group])


@cache
def imported(folder: str | None) -> dict[str, str]:
    """Distribution -> a module of ours that imports it; `folder` None stands for the four packages.

    Where several distributions bring one module, a declared one counts.
    """
    files = sources().values() if folder is None else [parse(path) for path in sorted((ROOT / folder).rglob("*.py"))]
    found = {}
    for source in files:
        for name in imports(source):
            top = name.split(".")[0]
            if top in OURS or top in sys.stdlib_module_names or not top:
                continue
            candidates = {normal(distribution) for distribution in DISTRIBUTIONS.get(top, [top])}
            found[min(candidates & (RUNTIME | EXTRAS) or candidates)] = source.module
    return found


def test_what_the_packages_import_is_a_requirement() -> None:
    """Or the one extra whose absence is a sentence that names it."""
    used = imported(None)
    assert len(used) > 10
    known = RUNTIME | names(PROJECT["optional-dependencies"]["video"])
    undeclared = {name: module for name, module in used.items() if name not in known}
    assert not undeclared


def test_what_tests_and_benchmarks_import_is_a_requirement_or_an_extra() -> None:
    used = imported("tests") | imported("benchmarks")
    assert "pytest" in used
    assert not {name: module for name, module in used.items() if name not in RUNTIME | EXTRAS}


def test_every_requirement_is_used() -> None:
    used = imported(None).keys() | imported("tests").keys() | imported("benchmarks").keys()
    assert RUNTIME - imported(None).keys() <= NOT_IMPORTED.keys()
    assert EXTRAS - used <= NOT_IMPORTED.keys()
    assert NOT_IMPORTED.keys() <= RUNTIME | EXTRAS, "an exception for something that is no requirement any more"


def test_constraints_pin_every_requirement_exactly() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert len(pins) > 50
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[\w.+!]+", pin) for pin in pins), "exact pins only: no hosts, no paths"
    assert {normal(pin.partition("==")[0]) for pin in pins} >= RUNTIME | EXTRAS
