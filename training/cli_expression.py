"""`cfanet expression …`: make the new faces that slopes are fitted on, and put the slopes into a generator's file."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cfanet.config import AnonymizeSettings
from cfanet.recognizers import file_digest
from cfanet.weights import load_generator, save_generator
from training.data import data_digest
from training.expression import fit_slopes, make_new_faces

app = typer.Typer(help="Learn which identities open the eyes or widen the smile, so that releases keep both.")
_console = Console(stderr=True)
_REPORT_EVERY = 160  # faces
_ANGLE_DEG = AnonymizeSettings().angle_deg


@app.command(epilog="Example: cfanet expression make faces/ new-faces/ --generator generator.safetensors")
def make(
    faces: Annotated[Path, typer.Argument(help="folder written by `cfanet prepare`")],
    new_faces: Annotated[Path, typer.Argument(metavar="NEW", help="folder to write: old faces, and new ones of each")],
    generator: Annotated[str, typer.Option(help='"default" or a .safetensors generator')] = "default",
    count: Annotated[int, typer.Option(min=1, help="prepared faces used at most, evenly chosen")] = 1_400,
    each: Annotated[int, typer.Option(min=1, max=99, help="new faces of each")] = 4,
    angle: Annotated[float, typer.Option(min=1.0, max=179.0, help="degrees between old and new")] = _ANGLE_DEG,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N")] = "cpu",
) -> None:
    """Replace prepared faces by new ones, without a loop, for a landmark finder to mark both."""

    def report(done: int, total: int) -> None:
        if done % _REPORT_EVERY == 0:
            _console.print(f"{done}/{total} faces", highlight=False)

    made = make_new_faces(load_generator(generator, device), faces, new_faces, (count, each), angle, report)
    _console.print(f"{new_faces}: {made} faces, each with {each} new ones; mark them (docs/training.md), then fit")


@app.command(epilog="Example: cfanet expression fit new-faces/ points.npz --out with-slopes.safetensors")
def fit(
    new_faces: Annotated[Path, typer.Argument(metavar="NEW", help="folder written by `cfanet expression make`")],
    points: Annotated[Path, typer.Argument(help=".npz with points on its crops; see docs/training.md")],
    out: Annotated[Path, typer.Option(help="generator file to write: the same one, with slopes")],
    generator: Annotated[str, typer.Option(help="the generator that made the new faces")] = "default",
) -> None:
    """Write the generator with the slopes of eyes and smile, which `anonymize.keep_eyes` and `keep_smile` go by."""
    trained = load_generator(generator)
    found = fit_slopes(trained, new_faces, points)
    explained = {name: round(value, 4) for name, value in found.explained.items()}
    about = {
        "explained": explained,
        "faces": found.faces,
        "new_faces": found.new_faces,
        "data": data_digest(new_faces),
        "points": file_digest(points),
        "generator": trained.digest,
    }
    notes = {**trained.metadata, "slopes": json.dumps(about, sort_keys=True)}
    out.parent.mkdir(parents=True, exist_ok=True)
    save_generator(out, trained.network, trained.spread, trained.thresholds, notes, found.slopes)
    shares = ", ".join(f"{name} {value:.2f}" for name, value in explained.items())
    _console.print(f"{out}: of the change on people held out, slopes explain (R²) {shares}")
