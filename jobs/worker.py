"""What a stage of the job is made of: a worker class, and the facts every worker of a run is given."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from cfanet.seeds import SeedKey
from jobs.codecs.shard import WorkItem
from jobs.config import ReleaseConfig
from jobs.manifest import Counts
from jobs.obscure_list import ObscureList
from jobs.tools import Tools

R_co = TypeVar("R_co", covariant=True)


def _unheard(counts: Counts) -> None:
    """Nobody listens."""


@dataclass(frozen=True)
class StageContext:
    """What every worker of any job is given."""

    config: ReleaseConfig
    # Told of every few pictures, while an item is being worked on.
    worked: Callable[[Counts], None] = field(default=_unheard, kw_only=True)


@dataclass(frozen=True)
class JobContext(StageContext):
    """What every worker of a release is given."""

    tools: type[Tools]
    key: SeedKey
    run_id: str
    config_digest: str
    gallery_digest: str = ""  # of the sealed gallery; "" before it is sealed
    obscure: Mapping[str, ObscureList] = field(default_factory=dict)  # by shard, of those that have one


class Worker(Protocol[R_co]):
    """Loads its parts once, then processes work items one at a time."""

    def __init__(self, context: Any) -> None: ...  # the stage's own kind of StageContext

    def process(self, item: WorkItem) -> R_co:
        """Do the work of one item."""
        ...
