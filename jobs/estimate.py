"""What a release would do and roughly cost, before anything is done: read only."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from jobs.codecs.shard import Sample
from jobs.codecs.video import VideoCodec
from jobs.config import ReleaseConfig
from jobs.pictures import wants_pictures
from jobs.plan import Plan, codec_for
from jobs.progress import duration
from jobs.storage import is_remote, open_storage

_SAMPLES = 64  # read of the first shard that is left to do
_SECONDS_A_PICTURE = 1.05  # of one core, all stages: 250 px portraits in docs/RESULTS.md; larger pictures take longer
_PART_BYTES = 8 * 2**20
_READS, _WRITES = 12, 10  # requests a shard beside its parts: records, gallery, looking whether it is there


@dataclass(frozen=True)
class Estimate:
    """Of the shards that are left to do."""

    shards: int
    pictures: int
    core_seconds: float
    read_bytes: int  # source three times (enrol, anonymize, audit) and output twice (audit, digest)
    written_bytes: int
    requests: int  # to object stores; 0 where there is none


def estimate(config: ReleaseConfig, plan: Plan) -> Estimate:
    """Extrapolate by bytes from the first pictures of the first shard that is left to do; videos say their length."""
    size = sum(entry.size for item in plan.todo for entry in item.files)
    pictures = 0
    if plan.todo and plan.format == VideoCodec.name:
        codec, storage = VideoCodec(config.anonymize.max_megapixels), open_storage(config.source.uri)
        pictures = sum(codec.count(storage, item) for item in plan.todo)
    elif plan.todo:
        item = plan.todo[0]
        samples = codec_for(item.format, config).read(open_storage(config.source.uri), item, wants_pictures)
        sizes = [
            len(member.data or b"")
            for sample in islice(samples, _SAMPLES)
            if isinstance(sample, Sample)
            for member in sample.pictures
        ]
        pictures = round(size / max(1.0, sum(sizes) / len(sizes))) if sizes else 0
    places = (config.source.uri, config.destination.uri)
    parts = size // _PART_BYTES + len(plan.todo)
    requests = (5 * parts + (_READS + _WRITES) * len(plan.todo)) * sum(map(is_remote, places)) // 2
    return Estimate(len(plan.todo), pictures, pictures * _SECONDS_A_PICTURE, 5 * size, size, requests)


def plan_lines(config: ReleaseConfig, plan: Plan, cost: Estimate, workers: int) -> Iterator[str]:
    """The plan as a person reads it; `workers` processes of one core each are assumed."""
    withheld = sum(1 for manifest in plan.done.values() if manifest.withheld)
    yield f"SRC       {config.source.uri} ({plan.format})"
    yield f"DST       {config.destination.uri}; gallery of the originals {config.gallery_uri}"
    yield (
        f"Shards    {len(plan.items)} planned = {len(plan.done) - withheld} done + {withheld} withheld "
        f"+ {cost.shards} to do"
    )
    if plan.ignored:
        yield "Ignored   " + ", ".join(f"{count} .{extension}" for extension, count in sorted(plan.ignored.items()))
    yield f"Pictures  about {cost.pictures} to do"
    yield (
        f"Time      about {duration(cost.core_seconds / max(1, workers))} with {workers} workers of one core "
        f"({cost.core_seconds / 3600:.1f} core hours at {_SECONDS_A_PICTURE} s a picture)"
    )
    yield f"Data      {cost.read_bytes / 1e9:.2f} GB read, {cost.written_bytes / 1e9:.2f} GB written"
    if cost.requests:
        yield f"Requests  about {cost.requests} to the object store"
    yield "Nothing was written."
