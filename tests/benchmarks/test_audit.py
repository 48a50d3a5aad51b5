import pytest

from benchmarks.audit import cost
from cfanet.errors import InputError


def test_the_cost_is_that_of_the_audit_alone_and_of_10000_faces() -> None:
    record = {"counts": {"faces": 40}, "step_seconds": {"audit.examine": 4.0, "audit.scan": 0.2, "enrol.embed": 9.0}}
    assert cost(record) == pytest.approx({"examine": 1000.0, "scan": 50.0})


def test_a_run_without_an_audit_is_named() -> None:
    with pytest.raises(InputError, match="audited no face"):
        cost({"counts": {"faces": 0}, "step_seconds": {}})
