import json
from pathlib import Path

import pytest

from audit.gate import Verdict
from audit.release import ReleaseContents, file_digests, release_text, settle_release
from tests.audit.fakes import sha256

PASSED, REFUSED = Verdict(True, (), ()), Verdict(False, ("because",), ())
CONTENTS = ReleaseContents(
    "run-1",
    "2026-01-05T10:09:00Z",
    {"b.tar": "2", "a.tar": "1"},
    {"_cfanet/run.json": "3"},
    "4",
    policy={"confidence": 0.95},
)


def test_a_pass_is_written_with_every_digest(tmp_path: Path) -> None:
    path = tmp_path / "RELEASE.json"
    assert settle_release(path, PASSED, CONTENTS)
    written = json.loads(path.read_text())
    assert written["shards"] == {"a.tar": "1", "b.tar": "2"}
    assert (written["evidence"], written["sql_sha256"]) == ({"_cfanet/run.json": "3"}, "4")
    assert written["policy"] == {"confidence": 0.95}
    assert path.read_text() == release_text(PASSED, CONTENTS)
    assert list(tmp_path.iterdir()) == [path]


def test_a_refusal_removes_a_stale_promise(tmp_path: Path) -> None:
    path = tmp_path / "RELEASE.json"
    settle_release(path, PASSED, CONTENTS)
    assert not settle_release(path, REFUSED, CONTENTS)
    assert not path.exists()
    assert not settle_release(path, REFUSED, CONTENTS)


def test_a_refusal_has_no_text() -> None:
    with pytest.raises(ValueError, match="refused"):
        release_text(REFUSED, CONTENTS)


def test_digests_are_named_from_the_root(tmp_path: Path) -> None:
    for name in ("b.bin", "sub/a.bin"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    found = file_digests(tmp_path, [tmp_path / "sub" / "a.bin", tmp_path / "b.bin"])
    assert found == {"b.bin": sha256(b"b.bin"), "sub/a.bin": sha256(b"sub/a.bin")}
