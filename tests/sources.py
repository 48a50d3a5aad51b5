"""The project's own sources, parsed and never imported: what the tests of rules and shape look at."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("cfanet", "audit", "jobs", "training")


@dataclass(frozen=True, eq=False)
class Source:
    """One parsed file."""

    module: str  # dotted name; a package's __init__ has the package's name
    path: Path
    text: str
    tree: ast.Module

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"


@cache
def sources() -> dict[str, Source]:
    """Every module of the four packages by dotted name."""
    paths = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return {source.module: source for source in map(parse, paths)}


@cache
def parse(path: Path) -> Source:
    """One file below the project's root."""
    text = path.read_text(encoding="utf-8")
    parts = path.relative_to(ROOT).with_suffix("").parts
    return Source(".".join(parts[:-1] if parts[-1] == "__init__" else parts), path, text, ast.parse(text, str(path)))


def without_main(tree: ast.Module) -> ast.Module:
    """The module as it is when imported: without its `if __name__ == "__main__":` block."""
    return ast.Module([node for node in tree.body if not _is_main_guard(node)], [])


def _is_main_guard(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"


@cache
def imports(source: Source, nodes: ast.AST | None = None) -> tuple[str, ...]:
    """Dotted names that a module imports anywhere, functions and `if TYPE_CHECKING` included.

    `from a import b` gives `a.b` where that is a module of ours, and `a` otherwise. `nodes` looks at a part only.
    """
    return tuple(_imports(source, nodes))


def _imports(source: Source, nodes: ast.AST | None) -> Iterator[str]:
    package = source.module if source.is_package else source.module.rpartition(".")[0]
    for node in ast.walk(nodes or source.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield full if full in sources() else base
        elif isinstance(node, ast.Call) and _name(node.func) in {"__import__", "import_module"}:
            for argument in node.args[:1]:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield argument.value


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def with_parents(module: str) -> Iterator[str]:
    """`a.b.c`, `a.b` and `a`: what Python executes when the first is imported."""
    parts = module.split(".")
    yield from (".".join(parts[:length]) for length in range(len(parts), 0, -1))
