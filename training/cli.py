"""`cfanet train` and `cfanet evaluate`: parse, wire, return."""

import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from torch import Tensor

from cfanet.errors import ConfigError, WeightsError
from cfanet.recognizers import TorchRecognizer, load_recognizer
from cfanet.weights import load_generator
from training.cli_expression import app as expression_app
from training.config import load_settings
from training.data import FaceSet, PairSampler, data_digest, load_faces, real_spread, split_held_out
from training.distributed import joined
from training.evaluation.cli import app as evaluate_app
from training.export import export_generator, write_generator
from training.guide import Guide
from training.journal import Journal
from training.landmark_fit import fit_landmarks, load_marked_faces
from training.landmarks import SIDE, load_landmark_guide, save_landmarks
from training.loop import Trainer
from training.measure import measure_generator
from training.merge import merged, notes_of_merged
from training.preview import preview

app = typer.Typer(help="Training and evaluation.", no_args_is_help=True)
app.add_typer(evaluate_app, name="evaluate")
app.add_typer(expression_app, name="expression")
_console = Console(stderr=True)


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="TOML file; see docs/training.md")],
    out: Annotated[Path, typer.Option(help="folder of the run: state, previews, generator; a run in it is resumed")],
    minutes: Annotated[float, typer.Option(help="stop after so long; the run can be resumed")] = math.inf,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N")] = "cpu",
    workers: Annotated[int, typer.Option(help="further processes that draw the pairs, for a GPU")] = 0,
) -> None:
    """Train a generator, or continue a run that was stopped or killed.

    Several processes: torchrun --nproc-per-node 4 --no-python cfanet train train.toml --out runs/first --device cuda

    Example: cfanet train train.toml --out runs/first --minutes 60
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    settings = load_settings(config)
    with joined(device, settings.schedule.batch) as (place, own_device):
        guides = [
            _guide(spec, settings.network.resolution, own_device) for spec in (settings.guide, *settings.more_guides)
        ]
        faces = split_held_out(load_faces(settings.data, settings.network.resolution))
        sampler = PairSampler(faces[0], settings.schedule)
        landmarks = load_landmark_guide(settings.landmarks) if settings.landmarks else None
        trainer = Trainer(settings, guides, own_device, place, landmarks)
        trainer.run(sampler, out, _Listener(trainer, faces, out), minutes, workers)
    if place.first:
        thresholds = export_generator(out / "generator.safetensors", trainer, faces)
        _console.print(f"step {trainer.step}: {out / 'generator.safetensors'}, thresholds {thresholds}")


@app.command()
def landmarks(
    faces: Annotated[Path, typer.Argument(help="folder written by `cfanet prepare`, with crops of 128 px or more")],
    points: Annotated[Path, typer.Argument(help=".npz with points on these crops; see docs/training.md")],
    out: Annotated[Path, typer.Option(help="file to write, for `landmarks` in a training config")],
    steps: Annotated[int, typer.Option(min=1, help="of 128 faces each")] = 5_000,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N")] = "cpu",
) -> None:
    """Teach the network behind the loss `landmarks`, which keeps expression and pose.

    Example: cfanet landmarks faces/ points.npz --out landmarks.safetensors --device cuda
    """
    marked = load_marked_faces(faces, points)
    out.parent.mkdir(parents=True, exist_ok=True)

    def report(step: int, error: float) -> None:
        _console.print(f"step {step}/{steps}  L1 {error * SIDE:.2f} px of {SIDE}", highlight=False)

    network, error = fit_landmarks(marked, steps, device, report=report)
    save_landmarks(out, network, marked.measures, error, points.name)
    _console.print(f"{out}: {marked.points.shape[1]} points, {error * SIDE:.2f} px off on faces held out, of {SIDE}")


@app.command()
def merge(
    first: Annotated[str, typer.Argument(help="generator file")],
    second: Annotated[str, typer.Argument(help="generator file of a run that started from the first")],
    faces: Annotated[
        Path, typer.Option(help="folder written by `cfanet prepare`: thresholds are measured on it again")
    ],
    guide: Annotated[str, typer.Option(help="recognizer by which the metrics in the file are taken")],
    out: Annotated[Path, typer.Option(help="generator file to write")],
    share: Annotated[float, typer.Option(min=0.0, max=1.0, help="of the second's weights")] = 0.5,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N")] = "cpu",
) -> None:
    """Write the mean of two generators' weights, with thresholds measured on FACES: a trade between the two.

    Example: cfanet merge a.safetensors b.safetensors --faces faces/ --guide torchscript:mfn.pt --out ab.safetensors
    """
    one, other = load_generator(first, device), load_generator(second, device)
    try:
        network = merged(one, other, share).to(device)
    except WeightsError as error:
        raise WeightsError(f"{first} and {second} have no mean: {error}") from error
    sides = split_held_out(load_faces(faces, network.config.resolution))
    judge = _guide(guide, network.config.resolution, device)
    digests = {judge.recognizer.name: judge.recognizer.digest}
    notes = notes_of_merged(one, other, share) | {"data": data_digest(faces), "guides": json.dumps(digests)}
    out.parent.mkdir(parents=True, exist_ok=True)
    thresholds = write_generator(out, network, judge, sides, notes)
    _console.print(f"{out}: {share:g} of {second}, thresholds {thresholds}")


def _guide(spec: str, resolution: int, device: str) -> Guide:
    recognizer = load_recognizer(spec, device)
    if not isinstance(recognizer, TorchRecognizer):
        raise ConfigError(f"recognizer {spec!r} has no gradients: guide with facenet-… or torchscript:FILE")
    return Guide(recognizer, resolution)


class _Listener:
    """Writes the run's journal, and measures its averaged weights on people held out."""

    def __init__(self, trainer: Trainer, faces: tuple[FaceSet, FaceSet], out: Path) -> None:
        self._trainer, self._held_out, self._spread = trainer, faces[1], real_spread(faces[0])
        self._journal = Journal(out, trainer.settings.schedule.steps, _console)

    def losses(self, step: int, values: Mapping[str, Tensor]) -> None:
        self._journal.losses(step, values)

    def measure(self, step: int) -> None:
        average = self._trainer.average.eval()
        values = measure_generator(average, self._trainer.guide, self._held_out, self._spread)
        self._journal.held_out(step, values, preview(average, self._held_out, self._spread))
