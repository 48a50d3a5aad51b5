"""Which storage stands behind an address, and what lies inside what."""

from pathlib import Path

import pytest

from cfanet.errors import ConfigError, InputError
from jobs.storage import LocalStorage, S3Storage, is_remote, lies_inside, open_storage


def test_addresses_open_their_kind(tmp_path: Path) -> None:
    assert isinstance(open_storage(str(tmp_path)), LocalStorage)
    found = open_storage("s3://bucket/a/prefix/")
    assert isinstance(found, S3Storage) and found.uri == "s3://bucket/a/prefix"
    assert open_storage("s3://bucket").uri == "s3://bucket"
    with pytest.raises(ConfigError, match="gs:// addresses are not supported"):
        open_storage("gs://bucket/x")
    with pytest.raises(InputError, match="empty path"):
        open_storage("")


@pytest.mark.parametrize(
    ("inner", "outer", "inside"),
    [
        ("s3://bkt/a", "s3://bkt/a/", True),
        ("s3://bkt/a/c", "s3://bkt/a", True),
        ("s3://bkt/a", "s3://bkt", True),
        ("s3://bkt/ab", "s3://bkt/a", False),
        ("s3://bkt/a", "s3://other/a", False),
        ("s3://bkt/a", "/b", False),
        ("/x/a/../b", "/x/b", True),
        ("/x/ab", "/x/a", False),
    ],
)
def test_what_lies_inside_what(inner: str, outer: str, inside: bool) -> None:
    assert lies_inside(inner, outer) is inside


def test_remote_or_not() -> None:
    assert is_remote("s3://bkt") and not is_remote("b/s3://")
