"""A hash chain over the evidence: every file and every SQL table of a run is one link, bound to all links before it.

Whoever knows the head of the chain (it is in RELEASE.json) can tell that nothing was changed, and what was. The chain
is no signature: who can rewrite all of it can compute another head, so keep the head somewhere else as well.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from cfanet.errors import InputError

_START = "0" * 64


@dataclass(frozen=True)
class Link:
    """One thing the evidence consists of."""

    kind: str  # file: a path in DST; sql: the run's rows of a table
    name: str
    sha256: str
    head: str  # over this link and all before it


def build_chain(files: Mapping[str, str], tables: Mapping[str, str]) -> tuple[Link, ...]:
    """Chain digests of files (by path in DST) and of tables (by name), each in sorted order."""
    links, head = [], _START
    for kind, digests in (("file", files), ("sql", tables)):
        for name, sha256 in sorted(digests.items()):
            head = _next(head, kind, name, sha256)
            links.append(Link(kind, name, sha256, head))
    return tuple(links)


def head_of(links: Sequence[Link]) -> str:
    """The head of a chain; zeros for an empty one."""
    return links[-1].head if links else _START


def chain_text(run_id: str, links: Sequence[Link]) -> str:
    """A chain as JSON."""
    document = {"run": run_id, "head": head_of(links), "links": [asdict(link) for link in links]}
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def parse_chain(text: bytes, where: str) -> tuple[str, tuple[Link, ...]]:
    """Run id and links of a chain that was read from `where`; InputError when it is damaged."""
    try:
        document = json.loads(text)
        return str(document["run"]), tuple(Link(**link) for link in document["links"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{where} is damaged: restore it, or run `cfanet audit` again") from error


def broken_links(links: Sequence[Link], files: Mapping[str, str], tables: Mapping[str, str]) -> tuple[str, ...]:
    """What does not hold, in words: changed, missing or added files and tables, and links that do not fit."""
    found, head = [], _START
    for link in links:
        head = _next(head, link.kind, link.name, link.sha256)
        if head != link.head:
            found.append(f"the chain itself was edited at {link.kind} {link.name}")
            head = link.head
    for kind, now in (("file", files), ("sql", tables)):
        then = {link.name: link.sha256 for link in links if link.kind == kind}
        what = {"file": "file", "sql": "table"}[kind]
        found += [f"{what} {name} is missing" for name in sorted(then.keys() - now.keys())]
        found += [f"{what} {name} was added" for name in sorted(now.keys() - then.keys())]
        found += [f"{what} {name} was changed" for name in sorted(then.keys() & now.keys()) if then[name] != now[name]]
    return tuple(found)


def _next(head: str, kind: str, name: str, sha256: str) -> str:
    return hashlib.sha256(json.dumps([head, kind, name, sha256], ensure_ascii=True).encode()).hexdigest()
