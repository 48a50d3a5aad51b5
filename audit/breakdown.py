"""Numbers beside the main rates: by kind of face, near-certain look-alikes, margins, attackers, findings."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from audit.intervals import Rate, rate
from audit.records import AttackResult, GallerySearch
from audit.rows import FaceRow, RunRows
from cfanet.records import Comparison

_MAX_VALUES = 24  # a label with more values names people rather than groups


@dataclass(frozen=True)
class StratumRate:
    """Replaced faces of one kind, and how many a judge still matches to their own original."""

    dimension: str  # size, share in the picture, pose, score, label:<field>
    value: str
    mated: Rate


@dataclass(frozen=True)
class Margins:
    """True identity against the best other person in a search: above 0 the true one is found first."""

    n: int
    median: float | None
    highest: float | None


NO_MARGINS = Margins(0, None, None)


@dataclass(frozen=True)
class AttackRate:
    """Success of one attacker with its interval."""

    name: str
    recognizer: str
    role: str
    success: Rate
    chance: float
    detail: str

    @property
    def beats_chance(self) -> bool:
        """True when even the lower confidence limit lies above chance."""
        return self.success.low is not None and self.success.low > self.chance


def rates_by_stratum(pairs: Sequence[tuple[FaceRow, Comparison]], confidence: float) -> tuple[StratumRate, ...]:
    """Mated rate in every group of every dimension; dimensions with more than 24 values are left out."""
    counted: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for face, comparison in pairs:
        for dimension, value in face.strata.items():
            counted[dimension][value].append(not comparison.passed)
    return tuple(
        StratumRate(dimension, value, rate(sum(matched), len(matched), confidence))
        for dimension, values in sorted(counted.items())
        if len(values) <= _MAX_VALUES
        for value, matched in sorted(values.items(), key=lambda item: _by_number(item[0]))
    )


def _by_number(value: str) -> tuple[float, str]:
    """Order of groups: intervals by where they begin, others by name."""
    begin = value.split(" ")[0]
    if begin == "below":
        return -1.0, value
    return (float(begin), value) if begin.replace(".", "", 1).isdecimal() else (0.0, value)


def margins(searches: Iterable[GallerySearch]) -> Margins:
    """Similarity with the own original minus that with the best other person."""
    found = sorted(
        s.own_similarity - s.best_other_similarity for s in searches if s.own_similarity is not None and s.best_other_id
    )
    if not found:
        return NO_MARGINS
    return Margins(len(found), found[len(found) // 2], found[-1])


def attack_rates(attacks: Sequence[AttackResult], confidence: float) -> tuple[AttackRate, ...]:
    """Every attacker's success with its interval."""
    return tuple(
        AttackRate(a.name, a.recognizer, a.role, rate(a.hits, a.n, confidence), a.chance, a.detail) for a in attacks
    )


def findings_of(rows: RunRows, kind: str) -> tuple[str, ...]:
    """Findings of one kind as `place: detail`."""
    return tuple(f"{found.place}: {found.detail}" for found in rows.findings if found.kind == kind)


def repeated_seeds(faces: Iterable[FaceRow], video: bool = False) -> tuple[str, ...]:
    """Seed ids from which more than one replaced face was made; a track of a video is one face."""
    replaced = [face for face in faces if face.seed_id and face.decision == "replaced"]
    seeds = [face.seed_id for face in replaced]
    if video:  # a sample is `file:number`, and a face's index is its track's
        seeds = [seed for seed, *_ in {(f.seed_id, f.sample_key.rpartition(":")[0], f.face_index) for f in replaced}]
    counts = Counter(seeds)
    return tuple(sorted(seed for seed, count in counts.items() if count > 1))
