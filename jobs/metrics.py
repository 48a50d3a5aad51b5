"""What workers report to Ray while they work, for Prometheus: pictures by status, faces by decision, seconds by step.

They count work, so that a shard which is tried again counts again; what became of each shard is in its manifest.
"""

from collections.abc import Mapping

from ray.util.metrics import Counter

from jobs.manifest import Counts

_STATUSES = ("anonymized", "no_face", "obscured", "quarantined")
_DECISIONS = {"faces_replaced": "replaced", "faces_obscured": "obscured", "faces_withheld": "withheld"}


class Meters:
    """The counters of one worker."""

    def __init__(self, stage: str) -> None:
        """Count for `stage`, the name of a worker class."""
        self._stage = stage
        keys = ("stage", "kind")
        self._pictures = Counter("cfanet_pictures", "Pictures worked on, by status where there is one", keys)
        self._faces = Counter("cfanet_faces", "Faces in them, by decision where there is one", keys)
        self._shards = Counter("cfanet_shards", "Shards that ended, by outcome", keys)
        self._seconds = Counter("cfanet_seconds", "Seconds of work, by step", keys)

    def worked(self, counts: Counts) -> None:
        """Some pictures more."""
        by_status = {name: getattr(counts, name) for name in _STATUSES}
        by_decision = {word: getattr(counts, name) for name, word in _DECISIONS.items()}
        self._add(self._pictures, by_status | {"seen": counts.pictures - sum(by_status.values())})
        self._add(self._faces, by_decision | {"seen": counts.faces - sum(by_decision.values())})

    def ended(self, outcome: str, seconds: Mapping[str, float]) -> None:
        """One shard more."""
        self._add(self._shards, {outcome: 1})
        self._add(self._seconds, seconds)

    def _add(self, counter: Counter, values: Mapping[str, float]) -> None:
        for kind, value in values.items():
            if value > 0:
                counter.inc(value, {"stage": self._stage, "kind": kind})
