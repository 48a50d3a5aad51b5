"""What an experiment writes, one JSON with every number and the same tables in Markdown, and how it is read again."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.evaluation.quantities import Measured, NotMeasured

Cell = str | Measured | NotMeasured


@dataclass(frozen=True)
class Table:
    """Rows of one table; every number in it was measured as `protocol` says."""

    title: str
    protocol: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Cell]]

    def __post_init__(self) -> None:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"table {self.title!r}: every row needs {len(self.columns)} cells")


def write_document(folder: Path, name: str, facts: Mapping[str, Any], tables: Sequence[Table]) -> tuple[Path, Path]:
    """Write `name`.json and `name`.md, each whole or not at all; `facts` say what was measured with what, and when."""
    folder.mkdir(parents=True, exist_ok=True)
    body = {**facts, "tables": [_as_json(table) for table in tables]}
    paths = folder / f"{name}.json", folder / f"{name}.md"
    for path, text in zip(
        paths, (json.dumps(body, indent=1, ensure_ascii=False), _markdown(facts, tables)), strict=True
    ):
        part = path.with_suffix(path.suffix + ".part")
        part.write_text(text + "\n", encoding="utf-8")
        os.replace(part, path)
    return paths


def read_document(path: Path) -> dict[str, Any]:
    """The JSON of a finished experiment."""
    body: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return body


def cells(
    document: Mapping[str, Any], title: str, column: str, match: Mapping[str, str] | None = None
) -> list[tuple[Mapping[str, Any], Cell]]:
    """Rows of the tables whose title begins with `title` and whose cells are as in `match`: (row, cell in `column`).

    ValueError when there are none: a table was renamed.
    """
    wanted = match or {}
    found = [
        (row, as_cell(row[column]))
        for table in document["tables"]
        if table["title"].startswith(title)
        for row in table["rows"]
        if all(row[name] == value for name, value in wanted.items())
    ]
    if not found:
        raise ValueError(f"no row {dict(wanted)} in a table {title!r} of {document['experiment']}")
    return found


def as_cell(value: Any) -> Cell:
    """A cell as it was before it was written."""
    if isinstance(value, str):
        return value
    return NotMeasured(value["reason"]) if "reason" in value else Measured(**value)


def as_table(stored: Mapping[str, Any]) -> Table:
    """A table as it was before it was written."""
    rows = [[as_cell(value) for value in row.values()] for row in stored["rows"]]
    columns = tuple(stored["rows"][0]) if stored["rows"] else ()
    return Table(stored["title"], stored["protocol"], columns, rows)


def table_lines(table: Table) -> list[str]:
    """The grid of a table in Markdown, without title and protocol."""
    lines = ["| " + " | ".join(table.columns) + " |", "|" + "---|" * len(table.columns)]
    return lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in table.rows]


def _as_json(table: Table) -> dict[str, Any]:
    rows = [
        {name: cell if isinstance(cell, str) else asdict(cell) for name, cell in zip(table.columns, row, strict=True)}
        for row in table.rows
    ]
    return {"title": table.title, "protocol": table.protocol, "rows": rows}


def _markdown(facts: Mapping[str, Any], tables: Sequence[Table]) -> str:
    lines = [f"# {facts['experiment']}", ""]
    lines += [f"- {name}: {value}" for name, value in facts.items() if name != "experiment"]
    for table in tables:
        lines += ["", f"## {table.title}", "", table.protocol, "", *table_lines(table)]
    return "\n".join(lines)
