"""`cfanet prepare`, `cfanet train` and `cfanet evaluate`: parse, wire, return."""

import logging
import math
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cfanet.config import DetectorSettings
from cfanet.detect import MTCNNDetector
from cfanet.errors import ConfigError, InputError
from cfanet.recognizers import TorchRecognizer, load_recognizer
from training.config import TrainingSettings, load_settings
from training.data import PairSampler, load_faces, split_held_out
from training.evaluation.cli import app as evaluate_app
from training.export import export_generator, real_spread
from training.guide import Guide
from training.loop import Trainer
from training.prepare import prepare_shard
from training.preview import preview, write_preview

app = typer.Typer(help="Training data, training and evaluation.", no_args_is_help=True)
app.add_typer(evaluate_app, name="evaluate")
_console = Console(stderr=True)
_LINE_EVERY = 50
_MIN_TRAINING_FACE_PX = 40


@app.command()
def prepare(
    source: Annotated[Path, typer.Argument(help="folder of WebDataset shards: <key>.jpg and, for labels, <key>.json")],
    destination: Annotated[Path, typer.Argument(help="folder for the aligned faces")],
    guide: Annotated[str, typer.Option(help="recognizer that will guide the training, as in --help of train")],
) -> None:
    """Detect and align the faces of training pictures and embed them with the guiding recognizer.

    Example: cfanet prepare celeba-shards faces --guide torchscript:mobilefacenet.pt
    """
    shards = sorted(source.glob("*.tar")) if source.is_dir() else []
    if not shards:
        raise InputError(f"{source} holds no .tar shards: give a folder of WebDataset shards")
    detector, recognizer = MTCNNDetector(DetectorSettings(min_face_px=_MIN_TRAINING_FACE_PX)), load_recognizer(guide)
    for shard in shards:
        if (destination / f"{shard.stem}.npz").exists():
            _console.print(f"{shard.name}: already prepared")
            continue
        _console.print(f"{shard.name}: {prepare_shard(shard, destination, detector, recognizer)} faces")


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="TOML file; see docs/training.md")],
    out: Annotated[Path, typer.Option(help="folder of the run: state, previews, generator; a run in it is resumed")],
    minutes: Annotated[float, typer.Option(help="stop after so long; the run can be resumed")] = math.inf,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N")] = "cpu",
) -> None:
    """Train a generator, or continue a run that was stopped or killed.

    Example: cfanet train train.toml --out runs/first --minutes 60
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    settings = load_settings(config)
    guide = load_recognizer(settings.guide, device)
    if not isinstance(guide, TorchRecognizer):
        raise ConfigError(f"recognizer {settings.guide!r} has no gradients: guide with facenet-… or torchscript:FILE")
    faces = split_held_out(load_faces(settings.data, settings.network.resolution))
    trainer = Trainer(settings, Guide(guide, settings.network.resolution), device)
    sampler = PairSampler(faces[0], settings.schedule.batch, settings.schedule.seed)
    trainer.run(sampler, out, _Lines(settings), minutes)
    generator = trainer.average.eval()
    thresholds = export_generator(out / "generator.safetensors", generator, settings, faces, trainer.step)
    write_preview(out / "preview.png", preview(generator, faces[1], real_spread(faces[0])))
    _console.print(f"step {trainer.step}: {out / 'generator.safetensors'}, thresholds {thresholds}")


class _Lines:
    """Prints the mean of every loss term once in a while."""

    def __init__(self, settings: TrainingSettings) -> None:
        self._steps = settings.schedule.steps
        self._values: dict[str, list[float]] = {}

    def __call__(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._values.setdefault(name, []).append(value)
        if step % _LINE_EVERY == 0:
            means = "  ".join(f"{name} {sum(v) / len(v):.3f}" for name, v in self._values.items())
            _console.print(f"step {step}/{self._steps}  {means}", highlight=False)
            self._values.clear()
