"""Does every sample of the source have exactly one place: the output or the quarantine list?"""

from collections import Counter
from collections.abc import Iterable

from audit.records import Reconciliation


def reconcile(source: Iterable[str], output: Iterable[str], quarantined: Iterable[str]) -> Reconciliation:
    """Compare the sample keys of one source shard with those of its output shard and quarantine list."""
    wanted, placed = Counter(source), Counter[str]()
    n_output = n_quarantined = 0
    for key in output:
        placed[key] += 1
        n_output += 1
    for key in quarantined:
        placed[key] += 1
        n_quarantined += 1
    return Reconciliation(
        n_source=wanted.total(),
        n_output=n_output,
        n_quarantined=n_quarantined,
        lost=tuple(sorted(key for key in wanted if placed[key] < wanted[key])),
        repeated=tuple(sorted(key for key in wanted if placed[key] > wanted[key])),
        unexpected=tuple(sorted(key for key in placed if key not in wanted)),
    )
