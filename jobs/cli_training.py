"""The commands around training. They name the package `training`, which is imported only when one of them runs."""

from functools import partial
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer()


@app.command(
    epilog="Example: cfanet prepare celeba-shards/ faces/ --guide torchscript:mobilefacenet.pt --workers 2 · "
    "cfanet prepare s3://data/vggface2 faces/ --guide facenet-vggface2 --crop-size 256 --max-enlargement 1"
)
def prepare(
    source: Annotated[str, typer.Argument(metavar="SRC", help="Pictures of faces: folder or s3://bucket/prefix.")],
    destination: Annotated[str, typer.Argument(metavar="DST", help="Folder, or s3://bucket/prefix, for the faces.")],
    guide: Annotated[
        str, typer.Option(help="Recognizer that will guide the training: facenet-vggface2 or torchscript:FILE.")
    ],
    layout: Annotated[
        str, typer.Option(help="auto, webdataset, parquet, celeba, vggface2 (a folder a person) or flat (no names).")
    ] = "auto",
    partition: Annotated[
        str | None, typer.Option(help="CelebA: train, val, test or all; default: train where the list of them is.")
    ] = None,
    crop_size: Annotated[
        int, typer.Option(help="Side of a crop: 128, 256 or 512; as large as the training's preset.")
    ] = 128,
    min_face_px: Annotated[float, typer.Option(help="Narrower faces are left out.")] = 48.0,
    min_score: Annotated[float, typer.Option(help="Faces that the detector is less sure of are left out.")] = 0.9,
    min_sharpness: Annotated[float, typer.Option(help="Blurred faces are left out; 0: none.")] = 20.0,
    min_shown: Annotated[
        float, typer.Option(help="Crops of which the picture shows a smaller share (the rest repeats its border).")
    ] = 0.0,
    max_enlargement: Annotated[float, typer.Option(help="Faces that would be enlarged more are left out.")] = 2.0,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Worker processes; default: as many as processors.")
    ] = None,
    gpus_per_worker: Annotated[float, typer.Option(help="GPUs, or a part of one, that a worker takes.")] = 0.0,
) -> None:
    """Cut aligned training faces out of SRC, and embed them with the recognizer that will guide the training.

    Shards that are done are not made again: the same command goes on where it was stopped.
    """
    from jobs.config import load_config
    from jobs.layouts import recognise
    from jobs.prepare import prepare as run
    from jobs.prepared import SUMMARY_FILE, summary_lines
    from jobs.progress import Progress
    from training.prepare import build_preparer, load_limits

    values = {
        "source.uri": source,
        "destination.uri": destination,
        "run.workers": workers or 0,
        "run.gpus_per_worker": gpus_per_worker,
    }
    config = load_config(None, (), values)
    limits = load_limits(
        crop_size=crop_size,
        min_face_px=min_face_px,
        min_score=min_score,
        min_sharpness=min_sharpness,
        min_shown=min_shown,
        max_enlargement=max_enlargement,
    )
    found = recognise(config, layout, partition)
    outcome = run(config, found, partial(build_preparer, limits, guide), Progress(Console(stderr=True)))
    lines = [f"{outcome.made} shards prepared, {outcome.kept} were there", *summary_lines(outcome.summary)]
    for line in [*lines, f"Written to {destination}, summed up in {SUMMARY_FILE}"]:
        Console().print(line, highlight=False, markup=False, soft_wrap=True)


# These are passed on as they are: their options live with them, and importing them takes seconds.
_PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


def _training(context: typer.Context) -> None:
    from training.cli import app as training_app

    training_app(args=[str(context.info_name), *context.args], prog_name="cfanet")


@app.command(add_help_option=False, context_settings=_PASSED_ON)
def train(context: typer.Context) -> None:
    """Train a generator."""
    _training(context)


@app.command(add_help_option=False, context_settings=_PASSED_ON)
def landmarks(context: typer.Context) -> None:
    """Teach a landmark network, which keeps expression and pose in training."""
    _training(context)


@app.command(add_help_option=False, context_settings=_PASSED_ON)
def expression(context: typer.Context) -> None:
    """Learn which identities open the eyes or widen the smile, so that releases keep both."""
    _training(context)


@app.command(add_help_option=False, context_settings=_PASSED_ON)
def merge(context: typer.Context) -> None:
    """Average the weights of two generators of one line of training."""
    _training(context)


@app.command(add_help_option=False, context_settings=_PASSED_ON)
def evaluate(context: typer.Context) -> None:
    """Run the paper's experiments: lfw, quality and others."""
    _training(context)
