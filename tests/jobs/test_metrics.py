"""Counters: what was worked on, by stage; that Ray exports them is asked in test_submit."""

from collections import Counter
from typing import ClassVar

import pytest

from jobs.manifest import Counts
from jobs.metrics import Meters


class FakeCounter:
    """Adds up what it is told."""

    sums: ClassVar[Counter[tuple[str, str, str]]] = Counter()

    def __init__(self, name: str, description: str, tag_keys: tuple[str, ...]) -> None:
        self._name = name
        assert description and tag_keys == ("stage", "kind")

    def inc(self, value: float, tags: dict[str, str]) -> None:
        assert value > 0, "Ray refuses zero"
        self.sums[self._name, tags["stage"], tags["kind"]] += value  # type: ignore[assignment]  # seconds are floats


@pytest.fixture
def sums(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, str, str]]:
    FakeCounter.sums = Counter()
    monkeypatch.setattr("jobs.metrics.Counter", FakeCounter)
    return FakeCounter.sums


def test_pictures_and_faces_are_counted_by_what_became_of_them(sums: Counter[tuple[str, str, str]]) -> None:
    meters = Meters("anonymize")
    meters.worked(Counts(pictures=5, anonymized=3, quarantined=2, faces=4, faces_replaced=3, faces_withheld=1))
    meters.worked(Counts(pictures=1, no_face=1))
    meters.ended("done", {"check": 1.5, "write": 0.0})
    assert sums == {
        ("cfanet_pictures", "anonymize", "anonymized"): 3,
        ("cfanet_pictures", "anonymize", "quarantined"): 2,
        ("cfanet_pictures", "anonymize", "no_face"): 1,
        ("cfanet_faces", "anonymize", "replaced"): 3,
        ("cfanet_faces", "anonymize", "withheld"): 1,
        ("cfanet_shards", "anonymize", "done"): 1,
        ("cfanet_seconds", "anonymize", "check"): 1.5,
    }


def test_where_there_is_no_status_pictures_are_only_seen(sums: Counter[tuple[str, str, str]]) -> None:
    Meters("enrol").worked(Counts(pictures=2, faces=3))
    assert sums == {("cfanet_pictures", "enrol", "seen"): 2, ("cfanet_faces", "enrol", "seen"): 3}
