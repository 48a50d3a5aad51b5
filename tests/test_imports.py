"""Who may import whom. The judge must not be able to reach what it judges; the library needs no cluster."""

import ast

import pytest

from tests.sources import PACKAGES, Source, imports, sources, with_parents, without_main

AUDIT_MAY_USE = frozenset(
    f"cfanet.{name}"
    for name in (
        "records",
        "errors",
        "config",
        "images",
        "detect",
        "recognizers",
        "align",
        "boxes",
        "search",
        "hypersphere",
        "structure",  # one measure: by two that differ a face passes the loop and is refused here
    )
)
# Intervals of rates are mathematics without a judge in it: experiments and audit must not compute them differently.
TRAINING_MAY_USE = frozenset({"audit.metrics", "audit.intervals"})
GENERATOR = ("cfanet.networks", "cfanet.identity", "cfanet.anonymizer", "cfanet.paste", "cfanet.seeds")
COMPOSITION_ROOTS = frozenset({"jobs.cli_training"})  # may name every command's package, `training` included
FOREIGN_LIMITS = {
    "ray": ("jobs",),
    "sqlalchemy": ("audit", "jobs"),  # jobs builds the URL of the database, and no statement
    "alembic": ("audit",),
    "boto3": ("jobs",),
    "botocore": ("jobs",),
    "typer": ("jobs", "training"),
}


def allowed(importer: str, imported: str) -> bool:
    """Whether a module of ours may import another module of ours."""
    home, target = importer.split(".")[0], imported.split(".")[0]
    if home == target:
        return True
    match home:
        case "cfanet":
            return False
        case "audit":
            return imported in AUDIT_MAY_USE
        case "jobs":
            return target in {"cfanet", "audit"} or (target == "training" and importer in COMPOSITION_ROOTS)
        case "training":
            return target == "cfanet" or imported in TRAINING_MAY_USE
    return False


def own_imports(source: Source) -> set[str]:
    return {name for name in imports(source) if name.split(".")[0] in PACKAGES}


def test_there_is_something_to_check() -> None:
    assert {name.split(".")[0] for name in sources()} == set(PACKAGES)
    assert sum(len(own_imports(source)) for source in sources().values()) > 20


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_only_what_they_may(package: str) -> None:
    wrong = [
        f"{source.module} imports {name}"
        for source in sources().values()
        if source.module.split(".")[0] == package
        for name in sorted(own_imports(source))
        if not allowed(source.module, name)
    ]
    assert not wrong, "\n".join(wrong)


def test_imports_name_modules_that_exist() -> None:
    wrong = [
        f"{source.module} imports {name}"
        for source in sources().values()
        for name in own_imports(source)
        if name not in sources()
    ]
    assert not wrong, "\n".join(wrong)


def test_the_judge_cannot_reach_the_generator() -> None:
    """Not through another module either, nor through a package's __init__."""
    reached: dict[str, str] = {name: name for name in sources() if name.split(".")[0] == "audit"}
    waiting = list(reached)
    while waiting:
        module = waiting.pop()
        for name in own_imports(sources()[module]):
            for parent in with_parents(name):
                if parent in sources() and parent not in reached:
                    reached[parent] = f"{reached[module]} -> {parent}"
                    waiting.append(parent)
    wrong = [chain for name, chain in reached.items() if name.startswith(GENERATOR)]
    assert not wrong, "\n".join(wrong)
    assert any(name.startswith("cfanet.") for name in reached)


@pytest.mark.parametrize("foreign", sorted(FOREIGN_LIMITS))
def test_heavy_libraries_stay_where_they_belong(foreign: str) -> None:
    homes = FOREIGN_LIMITS[foreign]
    wrong = [
        f"{source.module} imports {name}"
        for source in sources().values()
        if source.module.split(".")[0] not in homes
        for name in imports(source)
        if name.split(".")[0] == foreign
    ]
    assert not wrong, "\n".join(wrong)


def test_training_is_imported_lazily_by_the_command_line() -> None:
    for name in COMPOSITION_ROOTS & sources().keys():
        top = ast.Module(
            [node for node in sources()[name].tree.body if isinstance(node, ast.Import | ast.ImportFrom)], []
        )
        assert not [i for i in imports(sources()[name], top) if i.split(".")[0] == "training"]


def test_no_import_cycles() -> None:
    graph = {
        name: {found for found in imports(source, without_main(source.tree)) if found in sources()} - {name}
        for name, source in sources().items()
    }
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        if module not in done:
            for name in graph[module]:
                # `from package import module` inside that package touches only its __init__, already running.
                if not module.startswith(f"{name}."):
                    visit(name, (*path, module))
            done.add(module)

    for module in graph:
        visit(module, ())
    assert len(done) == len(graph)
