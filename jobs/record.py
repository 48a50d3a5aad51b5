"""The record of one shard while it is being anonymized; ends as ledger, quarantine list and manifest."""

from collections import Counter
from collections.abc import Sequence

from audit.records import LedgerPicture
from cfanet.errors import CfanetError
from cfanet.records import FaceDecision, ImageResult, ImageStatus
from jobs.codecs.shard import Member, OutputFile, Refusal, Sample, WorkItem
from jobs.config import code_version
from jobs.ledger import LedgerContext, LedgerEntry, write_ledger
from jobs.manifest import Counts, Manifest, ManifestOutput, write_manifest
from jobs.obscure_list import NOBODY
from jobs.pictures import SourcePicture
from jobs.quarantine import Withheld, write_quarantine
from jobs.storage import Storage
from jobs.timing import Stopwatch, peak_memory_bytes
from jobs.worker import JobContext


class ShardRecord:
    """Collects what happened to every sample of one work item, in order."""

    def __init__(self, item: WorkItem) -> None:
        """Start the record of `item`."""
        self.item = item
        self.clock = Stopwatch()
        self._entries: list[LedgerEntry] = []
        self._withheld: list[Withheld] = []
        self._samples = 0
        self._released = 0
        self._dropped: Counter[str] = Counter()
        self._kept: Counter[str] = Counter()
        self._told = 0  # entries that `news` has told of

    def refuse(self, refusal: Refusal) -> None:
        """Record something that was never read."""
        self._samples += 1
        self._withheld.append(Withheld(refusal.key, refusal.id, refusal.member, refusal.reason, refusal.detail))
        picture = LedgerPicture(refusal.id, ImageStatus.QUARANTINED, f"{refusal.reason}: {refusal.detail}", "", "", ())
        self._entries.append(LedgerEntry(refusal.member, picture))

    def withhold(self, sample: Sample, source: SourcePicture, result: ImageResult | None, why: tuple[str, str]) -> None:
        """Record one picture that is not released; `why` = (short reason, sentence)."""
        self._withheld.append(Withheld(sample.key, source.id, source.member.name, *why))
        self._add(source, ImageStatus.QUARANTINED, ": ".join(why), result, "")

    def release(self, source: SourcePicture, result: ImageResult, output_sha256: str) -> None:
        """Record one picture that is in the output."""
        self._add(source, result.status, result.detail, result, output_sha256)

    def end_sample(self, released: bool) -> None:
        """Count one sample that was read."""
        self._samples += 1
        self._released += released

    def keep(self, member: Member) -> None:
        """Count one non-image member that is copied."""
        self._kept[member.extension] += 1

    def drop(self, members: Sequence[Member]) -> None:
        """Count non-image members that are not on the allow-list."""
        self._dropped.update(member.extension for member in members)

    def _add(
        self, source: SourcePicture, status: ImageStatus, detail: str, result: ImageResult | None, output_sha256: str
    ) -> None:
        height, width = source.picture.pixels.shape[:2] if source.picture else (0, 0)
        picture = LedgerPicture(
            sample_key=source.id,
            status=status,
            detail=detail,
            input_sha256=source.sha256,
            output_sha256=output_sha256,
            faces=result.faces if result else (),
            media_type=source.picture.format if source.picture else "",
            width=width,
            height=height,
        )
        self._entries.append(LedgerEntry(source.member.name, picture))

    def news(self) -> Counts:
        """Sums over what was added since the last call."""
        first, self._told = self._told, len(self._entries)
        return self._counts(self._entries[first:])

    def counts(self) -> Counts:
        """Sums over the record so far."""
        sums = self._counts(self._entries)
        return sums.model_copy(update={"samples": self._samples, "released_samples": self._released})

    @staticmethod
    def _counts(entries: Sequence[LedgerEntry]) -> Counts:
        status = Counter(entry.picture.status for entry in entries)
        faces = Counter(face.decision for entry in entries for face in entry.picture.faces)
        return Counts(
            pictures=len(entries),
            anonymized=status[ImageStatus.ANONYMIZED],
            no_face=status[ImageStatus.NO_FACE],
            obscured=status[ImageStatus.OBSCURED],
            quarantined=status[ImageStatus.QUARANTINED],
            faces=faces.total(),
            faces_replaced=faces[FaceDecision.REPLACED],
            faces_obscured=faces[FaceDecision.OBSCURED],
            faces_withheld=faces[FaceDecision.WITHHELD],
        )

    def close(
        self,
        destination: Storage,
        context: JobContext,
        model_digest: str,
        outputs: Sequence[OutputFile],
        withheld: str = "",
    ) -> Manifest:
        """Write ledger and quarantine list, and the manifest last; `withheld` says why the whole shard is."""
        counts = self.counts()
        if counts.quarantined != len(self._withheld):
            raise CfanetError(
                f"shard {self.item.shard}: {counts.quarantined} quarantined, {len(self._withheld)} listed"
            )
        ledger = LedgerContext(context.run_id, self.item.shard, model_digest, context.config_digest)
        ledger_sha256 = write_ledger(destination, ledger, self._entries)
        write_quarantine(destination, self.item.shard, self._withheld)
        manifest = Manifest(
            shard=self.item.shard,
            format=self.item.format,
            config_digest=context.config_digest,
            source_etag=self.item.etag,
            source_files=len(self.item.files),
            source_bytes=sum(entry.size for entry in self.item.files),
            outputs=tuple(ManifestOutput(path=o.path, sha256=o.sha256, size=o.size) for o in outputs),
            counts=counts,
            dropped_members=dict(self._dropped),
            kept_members=dict(self._kept),
            quarantine_reasons=dict(Counter(item.reason for item in self._withheld)),
            key_fingerprint=context.key.fingerprint,
            model_digest=model_digest,
            gallery_digest=context.gallery_digest,
            code_version=code_version(),
            ledger_sha256=ledger_sha256,
            seconds=self.clock.seconds,
            peak_memory_bytes=peak_memory_bytes(),
            obscure_sha256=context.obscure.get(self.item.shard, NOBODY).digest,
            withheld=withheld,
        )
        write_manifest(destination, manifest)
        return manifest
