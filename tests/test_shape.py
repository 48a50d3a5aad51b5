"""The tail of the code base: no file, function or argument list outgrows its reader."""

import ast
from collections.abc import Iterator

from tests.sources import ROOT, Source, sources

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_ARGUMENTS = 6
CATCH_ALL_NAMES = {"utils", "util", "common", "helpers", "misc"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(source: Source) -> Iterator[Function]:
    yield from (node for node in ast.walk(source.tree) if isinstance(node, Function))


def arguments(function: Function) -> list[str]:
    """Names without self and cls."""
    given = function.args
    names = [argument.arg for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return [name for name in names if name not in {"self", "cls"}]


def test_there_is_something_to_measure() -> None:
    assert sum(1 for source in sources().values() for _ in functions(source)) > 50


def test_files_are_short() -> None:
    wrong = [
        f"{source.path.relative_to(ROOT)}: {lines} lines"
        for source in sources().values()
        if (lines := source.text.count("\n")) > MAX_FILE_LINES
    ]
    assert not wrong, "\n".join(wrong)


def test_what_starts_a_ray_is_where_make_test_looks_for_it() -> None:
    marked = [path for path in sorted((ROOT / "tests").rglob("test_*.py")) if "pytest.mark.ray" in path.read_text()]
    found = {str(path.relative_to(ROOT)) for path in marked} - {"tests/test_end_to_end.py", "tests/test_shape.py"}
    assert found and all(name.startswith("tests/jobs/test_") for name in found), found


def test_functions_are_short() -> None:
    wrong = [
        f"{source.module}.{function.name}: {lines} lines"
        for source in sources().values()
        for function in functions(source)
        if (lines := (function.end_lineno or 0) - function.lineno + 1) > MAX_FUNCTION_LINES
    ]
    assert not wrong, "\n".join(wrong)


def test_functions_take_few_arguments() -> None:
    """Commands excepted: there, arguments are the options a person sees."""
    wrong = [
        f"{source.module}.{function.name}: {len(arguments(function))} arguments"
        for source in sources().values()
        for function in functions(source)
        if len(arguments(function)) > MAX_ARGUMENTS and not is_command(function)
    ]
    assert not wrong, "\n".join(wrong)


def is_command(function: Function) -> bool:
    """True for a function under `@app.command(...)`."""
    calls = [decorator.func for decorator in function.decorator_list if isinstance(decorator, ast.Call)]
    return any(isinstance(call, ast.Attribute) and call.attr in {"command", "callback"} for call in calls)


def test_no_file_is_named_after_nothing() -> None:
    assert not [name for name in sources() if name.split(".")[-1] in CATCH_ALL_NAMES]
