"""What --method means, and what it refuses."""

from pathlib import Path

import pytest

from cfanet.errors import ConfigError
from training.evaluation.methods import parse_method


def test_methods_mean_what_they_say(tmp_path: Path) -> None:
    assert parse_method("blur").settings == {"method": "blur"}
    assert parse_method("k-same:d.safetensors").settings == {"method": "k-same", "donors": {"file": "d.safetensors"}}
    assert parse_method(f"released:{tmp_path}").released == tmp_path


@pytest.mark.parametrize("spec", ["swirl", "k-same", "blur:x", "released:", "released:/no/such/folder"])
def test_what_means_nothing_is_refused(spec: str) -> None:
    with pytest.raises(ConfigError, match=r"use one of|write "):
        parse_method(spec)
