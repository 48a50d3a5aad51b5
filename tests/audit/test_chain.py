from dataclasses import replace
from pathlib import Path

import pytest

from audit.chain import broken_links, build_chain, head_of, read_chain, write_chain
from cfanet.errors import InputError

FILES, TABLES = {"b.tar": "1" * 64, "a.tar": "2" * 64}, {"face": "3" * 64}


def test_a_chain_holds_until_anything_changes(tmp_path: Path) -> None:
    links = build_chain(FILES, TABLES)
    write_chain(tmp_path / "chain.json", "run-1", links)
    assert read_chain(tmp_path / "chain.json") == ("run-1", links)
    assert [link.name for link in links] == ["a.tar", "b.tar", "face"]
    assert broken_links(links, FILES, TABLES) == ()
    assert broken_links(links, {**FILES, "a.tar": "9" * 64}, TABLES) == ("file a.tar was changed",)
    assert broken_links(links, {"a.tar": "2" * 64}, TABLES) == ("file b.tar is missing",)
    assert broken_links(links, {**FILES, "c": ""}, TABLES) == ("file c was added",)
    assert broken_links(links, FILES, {"face": "4" * 64}) == ("table face was changed",)
    edited = (links[0], replace(links[1], sha256="9" * 64), links[2])
    assert "the chain itself was edited at file b.tar" in broken_links(edited, FILES, TABLES)


def test_the_head_depends_on_every_link() -> None:
    heads = {head_of(build_chain({**FILES, name: "9" * 64}, TABLES)) for name in FILES} | {head_of(build_chain({}, {}))}
    assert len(heads | {head_of(build_chain(FILES, TABLES))}) == 4


def test_no_chain_and_a_damaged_one_are_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="run `cfanet audit` first"):
        read_chain(tmp_path / "none")
    (tmp_path / "bad").write_text("{}")
    with pytest.raises(InputError, match="is damaged"):
        read_chain(tmp_path / "bad")
