"""The command line: parses, wires, prints, and returns an exit code. Everything heavy is imported by its command."""

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.core
from rich.console import Console

from cfanet.errors import CfanetError, ConfigError
from jobs.cli_gallery import app as gallery_app
from jobs.cli_training import app as training_app
from jobs.cli_weights import app as weights_app
from jobs.config import ReleaseConfig, load_config

if TYPE_CHECKING:
    from jobs.release import Outcome

log = logging.getLogger(__name__)


class _Group(typer.core.TyperGroup):
    """Commands may have names of two words, so that `audit verify` can stand beside `audit DST`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Take two words for a command where there is one of that name."""
        name = " ".join(args[:2])
        return (name, self.commands[name], args[2:]) if name in self.commands else super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_Group,
    name="cfanet",
    help="Release image datasets whose faces are nobody's, with proof.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.add_typer(gallery_app, name="gallery")
app.add_typer(weights_app, name="weights")
app.add_typer(training_app)

Source = Annotated[
    str | None, typer.Argument(metavar="SRC", help="Originals: folder or s3://bucket/prefix.", show_default=False)
]
Destination = Annotated[
    str | None, typer.Argument(metavar="DST", help="Output: folder or s3://bucket/prefix.", show_default=False)
]
Config = Annotated[Path | None, typer.Option("--config", metavar="F.toml", help="Configuration file.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override one key; repeatable.")]
KeyFile = Annotated[str | None, typer.Option(help="Secret that makes a run repeatable; default: drawn and discarded.")]
Database = Annotated[str | None, typer.Option(help="SQLAlchemy URL of the evidence; default: SQLite in DST.")]
GalleryDir = Annotated[
    str | None, typer.Option("--gallery", help="Private folder of embeddings; default: DST.gallery.")
]
Rename = Annotated[str | None, typer.Option(metavar="keep|hmac", help="Names of loose files: paths or pseudonyms.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Worker processes; default: as many as processors.")]


def _console() -> Console:
    return Console(stderr=True)


def _load(
    config: Path | None, overrides: Sequence[str] | None, values: Mapping[str, Any], recorded_at: str | None = None
) -> ReleaseConfig:
    from jobs.run import recorded_config
    from jobs.storage import open_storage

    recorded = recorded_config(open_storage(recorded_at)) if recorded_at and config is None else None
    given = {key: value for key, value in values.items() if value is not None}
    loaded = load_config(config, overrides or (), given, recorded)
    if not loaded.source.uri:
        raise ConfigError("SRC is missing: give it as an argument, or as source.uri in the configuration file")
    return loaded


def _print_plan(config: ReleaseConfig) -> None:
    from jobs.estimate import estimate, plan_lines
    from jobs.run import dry_run

    plan = dry_run(config)
    for line in plan_lines(config, plan, estimate(config, plan), config.run.workers or os.cpu_count() or 1):
        Console().print(line, highlight=False, markup=False, soft_wrap=True)


def _finish(outcome: "Outcome") -> None:
    from jobs.summary import print_summary

    print_summary(Console(), outcome)
    outcome.raise_for_status()


@app.command(epilog="Example: cfanet demo --out ./cfanet-demo")
def demo(
    out: Annotated[Path, typer.Option("--out", help="Where the demo's folders go.")] = Path("cfanet-demo"),
) -> None:
    """Build a small dataset from public-domain portraits and release it: offline, nothing to configure."""
    from jobs.demo import run_demo

    _finish(run_demo(out, _console()))


@app.command(epilog="Example: cfanet release photos/ released/ --set anonymize.angle_deg=100 --key-file key.bin")
def release(
    source: Source = None,
    destination: Destination = None,
    config: Config = None,
    set_: Set = None,
    key_file: KeyFile = None,
    database: Database = None,
    gallery: GalleryDir = None,
    workers: Workers = None,
    rename: Rename = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and its cost; write nothing.")] = False,
) -> None:
    """Anonymize SRC into DST, audit what was written, and seal it with RELEASE.json if the gate passes."""
    from jobs import release as job
    from jobs.progress import Progress

    values = _values(source, destination, key_file, database, gallery, workers)
    loaded = _load(config, set_, values | {"destination.rename": rename})
    if dry_run:
        _print_plan(loaded)
        return
    _finish(job.release(loaded, Progress(_console())))


@app.command(epilog="Example: cfanet anonymize photos/ released/ --set run.batch_size=32")
def anonymize(
    source: Source = None,
    destination: Destination = None,
    config: Config = None,
    set_: Set = None,
    key_file: KeyFile = None,
    gallery: GalleryDir = None,
    workers: Workers = None,
) -> None:
    """Only make the output; nothing is judged yet."""
    from jobs import release as job
    from jobs.progress import Progress

    loaded = _load(config, set_, _values(source, destination, key_file, None, gallery, workers))
    _finish(job.anonymize(loaded, Progress(_console())))


@app.command(epilog="Example: cfanet audit released/ --source photos/ --set audit.fmr=0.0001")
def audit(
    destination: Destination = None,
    source: Annotated[str | None, typer.Option("--source", metavar="SRC", help="Originals.")] = None,
    config: Config = None,
    set_: Set = None,
    database: Database = None,
    gallery: GalleryDir = None,
    workers: Workers = None,
) -> None:
    """Judge what DST holds against its originals; without --config, with the configuration it was made with."""
    from jobs import release as job
    from jobs.progress import Progress

    values = _values(source, destination, None, database, gallery, workers)
    _finish(job.audit(_load(config, set_, values, destination), Progress(_console())))


@app.command("audit verify", epilog="Example: cfanet audit verify released/")
def audit_verify(
    destination: Destination = None,
    expect: Annotated[str | None, typer.Option("--expect", metavar="HEAD", help="Head that was noted before.")] = None,
    config: Config = None,
    database: Database = None,
) -> None:
    """Check that not one byte of DST, its report or its evidence has changed since it was judged."""
    from jobs.verify import verify

    found = verify(_load(config, (), _values(None, destination, None, database, None, None), destination), expect)
    seal = "RELEASE.json names this chain" if found.sealed else "there is no RELEASE.json: not to be released"
    text = f"run {found.run_id}: {found.n_files} files and {found.n_tables} tables hold; {seal}\nhead {found.head}"
    Console().print(text, highlight=False, soft_wrap=True)


@app.command("audit query", epilog="Example: cfanet audit query matched released/")
def audit_query(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Without it, all are listed.")] = None,
    destination: Destination = None,
    config: Config = None,
    database: Database = None,
) -> None:
    """Ask the evidence of DST a ready-made question; prints a table."""
    from audit.queries import QUERIES
    from jobs.query import answer

    if name is None:
        for known, query in QUERIES.items():
            Console().print(f"{known:15} {query.title}", highlight=False, soft_wrap=True)
        return
    values = _values(None, destination, None, database, None, None)
    Console().print(answer(_load(config, (), values, destination), name))


@app.command(epilog="Example: cfanet report released/")
def report(
    destination: Destination = None,
    source: Annotated[str | None, typer.Option("--source", metavar="SRC", help="Originals.")] = None,
    config: Config = None,
    set_: Set = None,
    database: Database = None,
) -> None:
    """Write the report and the verdict again, from the evidence of the last audit."""
    from jobs import release as job

    values = _values(source, destination, None, database, None, None)
    _finish(job.report(_load(config, set_, values, destination)))


@app.command(epilog="Example: cfanet obscure released/ · cfanet obscure released/ 'party/7.jpg#2' 'party/9.jpg#0'")
def obscure(
    destination: Destination = None,
    face: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FACE]...", help="PICTURE#NUMBER; default: those that the last audit refused."),
    ] = None,
    config: Config = None,
    database: Database = None,
) -> None:
    """Name faces of DST to be covered: `cfanet release`, run again, makes their shards anew and judges the whole."""
    from jobs.obscure import name_faces

    loaded = _load(config, (), _values(None, destination, None, database, None, None), destination)
    named, console = name_faces(loaded, face or ()), Console()
    for one, why in sorted(named.faces.items()):
        console.print(f"{one}  {why}", highlight=False, markup=False, soft_wrap=True)
    anew = f"{len(named.shards)} of {named.n_shards} shards are made anew, with {len(named.faces)} faces obscured"
    text = f"Next      run `cfanet release` again as before: {anew}, and the whole is judged"
    console.print(text, highlight=False, soft_wrap=True)


@app.command(epilog="Example: cfanet status released/")
def status(destination: Destination = None, config: Config = None) -> None:
    """Say what is done, withheld and left to do in DST."""
    from jobs.status import status as read_status
    from jobs.summary import counts_table

    place = destination or (load_config(config).destination.uri if config else "")
    if not place:
        raise ConfigError("DST is missing: give it as an argument, or as destination.uri in the configuration file")
    found = read_status(place)
    console = Console()
    console.print(f"{place}: run {found.record['run_id']}, {found.record['status']}", highlight=False)
    console.print(
        f"{found.planned} shards planned = {found.done} done + {found.withheld} withheld + {found.left} left",
        highlight=False,
        soft_wrap=True,
    )
    console.print(counts_table(found.counts))
    console.print("RELEASE.json is " + ("there: the gate passed" if found.sealed else "not there: not to be released"))


@gallery_app.command("enrol", epilog="Example: cfanet gallery enrol photos/ --gallery private/gallery")
def gallery_enrol(
    source: Source = None,
    gallery: GalleryDir = None,
    config: Config = None,
    set_: Set = None,
    workers: Workers = None,
) -> None:
    """Add the faces of SRC to a gallery; shards already in it are not embedded again."""
    from jobs.gallery import enrol_gallery
    from jobs.progress import Progress

    loaded = _load(config, set_, _values(source, None, None, None, gallery, workers))
    snapshot = enrol_gallery(loaded, Progress(_console()))
    Console().print(
        f"{loaded.gallery_uri}: {snapshot.n_references} faces of {snapshot.n_pictures} pictures, "
        f"{snapshot.n_subjects} labelled people, recognizers {', '.join(snapshot.recognizers)}",
        highlight=False,
    )


@app.command(epilog="Example: cfanet calibrate --gallery private/gallery --set audit.fmr=0.0001")
def calibrate(gallery: GalleryDir = None, config: Config = None, set_: Set = None) -> None:
    """Fit the judges' thresholds at audit.fmr on the labelled people of a gallery."""
    from jobs.gallery import calibrate_gallery

    loaded = load_config(config, set_ or (), {"run.gallery": gallery} if gallery else {})
    if not loaded.run.gallery and not loaded.destination.uri:
        raise ConfigError("no gallery is named: give --gallery DIR, as written by `cfanet gallery enrol`")
    for found in calibrate_gallery(loaded):
        Console().print(
            f"{found.recognizer}: similarity {found.threshold:.4f} at FMR {found.fmr:g} "
            f"({found.source}: {found.reason})",
            highlight=False,
            soft_wrap=True,
        )
        for point in found.points:
            has = f"similarity {point.threshold:.4f} ({point.low:.4f} to {point.high:.4f})" if point.supported else "–"
            text = f"  FMR {point.fmr:g}: {has}; {point.reason}"
            Console().print(text, highlight=False, soft_wrap=True)


@app.command(epilog="Example: cfanet inspect portrait.jpg --out portrait.png --angle 30 --angle 90")
def inspect(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="A picture.")],
    out: Annotated[Path | None, typer.Option("--out", help="PNG to write; default: IMAGE.inspect.png here.")] = None,
    angle: Annotated[list[float] | None, typer.Option(help="Angle in degrees; repeatable.")] = None,
    identities: Annotated[int, typer.Option(min=1, max=16, help="New identities per angle.")] = 3,
    recognizer: Annotated[str | None, typer.Option(help="Recognizer of the similarity curve.")] = None,
    config: Config = None,
    set_: Set = None,
) -> None:
    """Show one picture's faces, a grid of angles by identities, and the measured similarity curve."""
    from cfanet.inspect import render_inspection
    from jobs.inspection import print_inspection

    target = out or Path(f"{image.stem}.inspect.png")
    settings = load_config(config, set_ or ()).anonymize
    angles = angle or [0.0, 30.0, 60.0, 90.0, 120.0]
    print_inspection(Console(), render_inspection(image, target, settings, angles, identities, recognizer))


def _values(
    source: str | None,
    destination: str | None,
    key_file: str | None,
    database: str | None,
    gallery: str | None,
    workers: int | None,
) -> dict[str, Any]:
    return {
        "source.uri": source,
        "destination.uri": destination,
        "run.key_file": key_file,
        "run.database": database,
        "run.gallery": gallery,
        "run.workers": workers,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code and prints at most one sentence for an expected error."""
    console = _console()
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        app(args=given, prog_name="cfanet")
    except SystemExit as done:  # the parser's own way to end: 0, or 2 with the usage printed
        return done.code if isinstance(done.code, int) else 1
    except CfanetError as error:
        console.print(f"cfanet: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        return error.exit_code
    except Exception as error:  # an internal error: say so, and keep the traceback for whoever asks
        log.exception("internal error")
        console.print(f"cfanet: internal error: {type(error).__name__}: {error}", markup=False, soft_wrap=True)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
