"""What a person reads when a job has ended: a short table, the verdict, and where the report is."""

from rich.console import Console
from rich.table import Table

from audit.named import names_faces
from jobs.manifest import Counts
from jobs.progress import duration
from jobs.release import Outcome

_STATUS = (
    ("anonymized", "anonymized", "every face replaced"),
    ("obscured", "obscured", "at least one face obscured instead"),
    ("no_face", "no face", "nothing to replace"),
    ("quarantined", "withheld", "not in the output"),
)


def print_summary(console: Console, outcome: Outcome) -> None:
    """Print counts, times and verdict of a job."""
    run = outcome.run
    console.print()
    console.print(counts_table(run.counts))
    _print_reasons(console, outcome)
    total = sum(run.stage_seconds.values())
    stages = ", ".join(f"{name} {duration(seconds)}" for name, seconds in run.stage_seconds.items())
    console.print(f"Time      {duration(total)} ({stages})", highlight=False)
    speed = run.counts.pictures / max(total, 1e-3)
    memory = run.worker_peak_bytes / 2**30
    console.print(f"Speed     {speed:.2f} pictures/s over all stages; largest worker {memory:.1f} GiB", highlight=False)
    if outcome.verdict is None:
        console.print(
            "Next      nothing is judged yet: run `cfanet audit` before anything is released", highlight=False
        )
        return
    if outcome.verdict.passed:
        console.print("Verdict   [bold green]passed[/]: RELEASE.json is written")
    else:
        console.print("Verdict   [bold red]refused[/]: there is no RELEASE.json")
        for reason in outcome.verdict.reasons:
            console.print(f"          - {reason}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"Report    {outcome.report_uri}", highlight=False, soft_wrap=True)
    if names_faces(outcome.verdict):
        place = outcome.run.storage.uri
        text = f"Next      `cfanet obscure {place}` names the faces that are too like one person, to be covered instead"
        console.print(text, highlight=False, soft_wrap=True)


def counts_table(counts: Counts) -> Table:
    """Pictures per status and faces per decision."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("Pictures", justify="right")
    table.add_column("")
    table.add_column("", style="dim")
    for name, word, meaning in _STATUS:
        table.add_row(str(getattr(counts, name)), word, meaning)
    table.add_row(str(counts.pictures), "in all", _faces(counts), style="bold")
    return table


def _faces(counts: Counts) -> str:
    parts = [f"{counts.faces} faces: {counts.faces_replaced} replaced"]
    if counts.faces_obscured:
        parts.append(f"{counts.faces_obscured} obscured")
    if counts.faces_withheld:
        parts.append(f"{counts.faces_withheld} withheld")
    return ", ".join(parts)


def _print_reasons(console: Console, outcome: Outcome) -> None:
    reasons: dict[str, int] = {}
    dropped: dict[str, int] = {}
    for manifest in outcome.run.manifests.values():
        for reason, count in manifest.quarantine_reasons.items():
            reasons[reason] = reasons.get(reason, 0) + count
        for extension, count in manifest.dropped_members.items():
            dropped[extension] = dropped.get(extension, 0) + count
    if reasons:
        console.print("Withheld  " + ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items())))
    if dropped:
        listed = ", ".join(f"{count} .{extension}" for extension, count in sorted(dropped.items()))
        console.print(f"Dropped   {listed} (members not in destination.keep_members)", highlight=False)
    ignored = outcome.run.plan.ignored
    if ignored:
        listed = ", ".join(f"{count} .{extension}" for extension, count in sorted(ignored.items()))
        console.print(f"Ignored   {listed} (files beside the shards)", highlight=False)
