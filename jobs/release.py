"""The whole job: anonymize, enrol, audit, gate, report. One function for the command line, Ray jobs and notebooks."""

from dataclasses import dataclass

from audit.gate import Verdict
from audit.named import refused_for_faces_alone
from cfanet.errors import GateRefused, WithheldError
from jobs import stages
from jobs.codecs.video import VideoCodec
from jobs.config import ReleaseConfig
from jobs.obscure import name_faces
from jobs.pipeline import ray_session
from jobs.progress import Progress
from jobs.run import Run, open_run, reopen_run
from jobs.storage import PRIVATE_FOLDER
from jobs.tools import RealTools, Tools


@dataclass(frozen=True)
class Outcome:
    """How a job ended."""

    run: Run
    verdict: Verdict | None  # None when nothing was judged

    @property
    def report_uri(self) -> str:
        """Where the report for people is."""
        return f"{self.run.storage.uri}/{PRIVATE_FOLDER}/report.html"

    @property
    def withheld_share(self) -> float:
        """Quarantined pictures as a share of all; of videos, which are withheld whole, the share of files."""
        if self.run.plan.format == VideoCodec.name:
            return len(self.run.withheld_shards) / max(1, len(self.run.manifests))
        return self.run.counts.quarantined / max(1, self.run.counts.pictures)

    def raise_for_status(self) -> None:
        """GateRefused when the verdict is no, WithheldError when more was withheld than the limit allows."""
        counts, limit = self.run.counts, self.run.config.run.max_withheld
        if self.verdict is not None and not self.verdict.passed:
            raise GateRefused(f"the gate refused this release: {'; '.join(self.verdict.reasons)}")
        if self.withheld_share > limit:
            found = f"{counts.quarantined} of {counts.pictures} pictures"
            if self.run.plan.format == VideoCodec.name:
                found = f"{len(self.run.withheld_shards)} of {len(self.run.manifests)} videos"
            raise WithheldError(
                f"{found} are withheld, more than run.max_withheld = {limit:g} allows; "
                f"the reasons are in {self.run.storage.uri}/{PRIVATE_FOLDER}/quarantine"
            )


def release(config: ReleaseConfig, progress: Progress, tools: type[Tools] = RealTools) -> Outcome:
    """Run the whole job on SRC; what an earlier, interrupted run finished is not done again.

    Refused for single faces alone, it is made again with those obscured, up to `run.obscure_rounds` times.
    """
    run = open_run(config, tools)
    with ray_session(config):
        verdict = _stages(run, progress)
        for _ in range(config.run.obscure_rounds):
            if not refused_for_faces_alone(verdict):
                break
            run.finish("refused")
            named = name_faces(config)
            progress.say(f"refused for {len(named.faces)} faces alone: they are obscured, and all is judged again")
            run = open_run(config, tools, run.context.key)  # all other faces stay what they were
            verdict = _stages(run, progress)
    run.finish("released" if verdict.passed else "refused")
    return Outcome(run, verdict)


def _stages(run: Run, progress: Progress) -> Verdict:
    snapshot = stages.enrol(run, progress)
    bench = stages.calibrate_judges(run, progress)
    stages.anonymize(run, progress)
    return stages.audit(run, snapshot, bench, progress)


def anonymize(config: ReleaseConfig, progress: Progress, tools: type[Tools] = RealTools) -> Outcome:
    """Enrol and anonymize only; nothing is judged, so nothing may be released yet."""
    run = open_run(config, tools)
    with ray_session(config):
        stages.enrol(run, progress)
        stages.anonymize(run, progress)
    run.finish("anonymized")
    return Outcome(run, None)


def audit(config: ReleaseConfig, progress: Progress, tools: type[Tools] = RealTools) -> Outcome:
    """Judge a destination that `anonymize` made from the same source."""
    run = reopen_run(config, tools)
    with ray_session(config):
        snapshot = stages.enrol(run, progress)
        verdict = stages.audit(run, snapshot, stages.calibrate_judges(run, progress), progress)
    run.finish("released" if verdict.passed else "refused")
    return Outcome(run, verdict)


def report(config: ReleaseConfig, tools: type[Tools] = RealTools) -> Outcome:
    """Decide and report again, from the evidence of an earlier audit."""
    run = reopen_run(config, tools)
    verdict = stages.report(run)
    run.finish("released" if verdict.passed else "refused")
    return Outcome(run, verdict)


if __name__ == "__main__":
    import sys

    from jobs.cli import main

    raise SystemExit(main(["release", "--config", *sys.argv[1:]]))
