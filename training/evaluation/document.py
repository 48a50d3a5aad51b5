"""What an experiment writes: one JSON with every number, and the same tables in Markdown."""

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
        lines += ["", f"## {table.title}", "", table.protocol, ""]
        lines += ["| " + " | ".join(table.columns) + " |", "|" + "---|" * len(table.columns)]
        lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in table.rows]
    return "\n".join(lines)
