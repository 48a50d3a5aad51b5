from dataclasses import replace

import pytest

from audit.chain import broken_links, build_chain, chain_text, head_of, parse_chain
from cfanet.errors import InputError

FILES, TABLES = {"b.tar": "1" * 64, "a.tar": "2" * 64}, {"face": "3" * 64}


def test_a_chain_holds_until_anything_changes() -> None:
    links = build_chain(FILES, TABLES)
    assert parse_chain(chain_text("run-1", links).encode(), "chain.json") == ("run-1", links)
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


def test_a_damaged_chain_is_said() -> None:
    with pytest.raises(InputError, match="is damaged"):
        parse_chain(b"{}", "DST/chain.json")
