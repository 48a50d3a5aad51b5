from pathlib import Path

import pytest

from audit.evidence import Evidence
from audit.queries import QUERIES
from cfanet.errors import InputError
from tests.audit.fakes import audited_shard, sqlite_at, write_run


def test_every_query_runs_and_names_its_columns(tmp_path: Path) -> None:
    with Evidence(sqlite_at(tmp_path)) as evidence:
        run = write_run(evidence, [audited_shard("a.tar", 30, leaks=2)])
        answers = {name: evidence.ask(name, run) for name in QUERIES}
        with pytest.raises(InputError, match="there is no query 'rubbish': give one of verdicts, galleries, metrics"):
            evidence.ask("rubbish", run)
    assert all(columns for columns, _ in answers.values())
    assert [row[0] for row in answers["matched"][1]] == ["a.tar/00000", "a.tar/00001"]
    assert len(answers["withheld"][1]) == 1
    assert answers["repeated_seeds"][1] == [["s" * 16, 27]]
