"""What is written: the same numbers twice, whole."""

import json
from pathlib import Path

import pytest

from training.evaluation.document import Table, as_table, cells, read_document, write_document
from training.evaluation.quantities import NotMeasured, proportion


def test_json_has_every_number_and_markdown_shows_it(tmp_path: Path) -> None:
    table = Table("T", "how", ("name", "rate", "other"), [["a", proportion(1, 4), NotMeasured("why")]])
    paths = write_document(tmp_path / "new", "exp", {"experiment": "e", "date": "today"}, [table])
    row = json.loads(paths[0].read_text())["tables"][0]["rows"][0]
    assert row["rate"]["hits"] == 1 and row["rate"]["n"] == 4 and row["rate"]["interval"] == "Clopper–Pearson 95 %"
    assert row["other"] == {"reason": "why"}
    assert "| a | 0.2500 [0.0063, 0.8059] (1 of 4) | not measured: why |" in paths[1].read_text()
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["exp.json", "exp.md"]


def test_a_row_of_the_wrong_length_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="2 cells"):
        Table("T", "how", ("a", "b"), [["only one"]])


def test_a_document_is_read_as_it_was_written(tmp_path: Path) -> None:
    rows = [["one", proportion(1, 4), NotMeasured("weights missing")], ["two", proportion(0, 4), "–"]]
    table = Table("Rates: all", "how", ("who", "rate", "other"), rows)
    document = read_document(write_document(tmp_path, "x", {"experiment": "x"}, [table])[0])
    assert as_table(document["tables"][0]) == table
    ((_, cell),) = cells(document, "Rates", "rate", {"who": "two"})
    assert cell == proportion(0, 4)
    with pytest.raises(ValueError, match="no row"):
        cells(document, "Rates", "rate", {"who": "three"})
