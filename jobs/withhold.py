"""A shard that kills or breaks its worker on every try is withheld as a whole, picture by picture on the record."""

from dataclasses import dataclass, field

from cfanet.errors import CfanetError
from jobs.codecs.shard import Refusal, Sample, WorkItem
from jobs.manifest import Manifest, delete_manifest
from jobs.pictures import SourcePicture
from jobs.plan import codec_for
from jobs.record import ShardRecord
from jobs.storage import open_storage
from jobs.worker import JobContext

REASON = "poison_shard"


@dataclass(frozen=True)
class WithholdContext(JobContext):
    """What is withheld, and why."""

    reasons: dict[str, str] = field(default_factory=dict)  # by shard, one sentence


class WithholdWorker:
    """Records shards whose pictures nobody will look at: names are read, pictures are not decoded."""

    def __init__(self, context: JobContext) -> None:
        """Load nothing."""
        if not isinstance(context, WithholdContext):
            raise CfanetError("withholding needs a reason")
        self._context = context

    def process(self, item: WorkItem) -> Manifest:
        """Remove what an earlier run released of the item, and write its records; the manifest says it is withheld."""
        config, why = self._context.config, self._context.reasons[item.shard]
        source, destination = open_storage(config.source.uri), open_storage(config.destination.uri)
        record, codec = ShardRecord(item), codec_for(item.format, config)
        delete_manifest(destination, item.shard)
        for path in item.released_names:
            destination.delete(path)
        for sample in codec.read(source, item, lambda extension: False):
            if isinstance(sample, Refusal):
                record.refuse(sample)
            elif sample.pictures:
                self._withhold(record, sample, why)
            elif codec.sample_needs_picture and not sample.is_stray and not self._kept(sample):
                record.refuse(Refusal(sample.key, sample.key, REASON, why))
            else:
                record.drop(sample.members)
        return record.close(destination, self._context, "", [], withheld=why)

    def _withhold(self, record: ShardRecord, sample: Sample, why: str) -> None:
        record.end_sample(released=False)
        for member in sample.pictures:
            record.withhold(sample, SourcePicture(sample.picture_id(member), member, "", None), None, (REASON, why))
        record.drop([member for member in sample.members if not member.is_picture])

    def _kept(self, sample: Sample) -> bool:
        return bool(sample.extensions & set(self._context.config.destination.keep_members))
