"""`cfanet evaluate …`: parse, run one experiment, say where its tables are."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(help="The paper's experiments, on any face dataset, with any recognizers.", no_args_is_help=True)

Source = Annotated[
    Path,
    typer.Argument(
        metavar="SRC",
        help="WebDataset shards (<key>.jpg, <key>.json with `identity`): a folder, a shard or 'quoted-*.tar'.",
    ),
]
Out = Annotated[
    Path, typer.Option("--out", help="Folder of the results and of a private cache, shared by all experiments.")
]
Judges = Annotated[list[str], typer.Option("--recognizer", help="Recognizer that judges; repeatable.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Use only so many pictures (lfw: so many pairs of each kind).")]
GeneratorFile = Annotated[str, typer.Option("--generator", help='"default" or a .safetensors generator.')]
Method = Annotated[
    str,
    typer.Option(
        help="cfa, blur, pixelate, mask, fixed-blur, fixed-pixelate; k-same:DONORS, k-same-eigen:DONORS, "
        "donor-swap:DONORS; released:FOLDER for another program's pictures."
    ),
]
Angle = Annotated[float | None, typer.Option("--angle", help="Degrees; default: the product's.")]
Loops = Annotated[list[str], typer.Option("--loop", help="Closed loop: on or off; repeatable.")]
Seed = Annotated[int, typer.Option(help="Another seed draws other identities.")]
Device = Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")]


@app.command(
    epilog="Example: cfanet evaluate lfw lfw-shards --pairs pairs.csv --recognizer dlib --out results --limit 100"
)
def lfw(
    source: Source,
    pairs: Annotated[Path, typer.Option("--pairs", metavar="CSV", help="Columns fold,left,right,same.")],
    out: Out,
    recognizer: Judges = ["dlib"],  # noqa: B006 (typer copies it)
    loop: Loops = ["on", "off"],  # noqa: B006
    everyone: Annotated[bool, typer.Option("--everyone", help="Rank also people who are in no pair.")] = False,
    generator: GeneratorFile = "default",
    method: Method = "cfa",
    angle: Angle = None,
    limit: Limit = None,
    seed: Seed = 0,
    device: Device = "cpu",
) -> None:
    """Tables 1 and 2: verification and ranks before and after."""
    from training.evaluation.bench import Request
    from training.evaluation.lfw import evaluate_lfw

    request = Request(source, out, tuple(recognizer), limit, generator, method, angle, tuple(loop), seed, device)
    _say(evaluate_lfw(request, pairs, everyone))


@app.command(epilog="Example: cfanet evaluate quality 'data/lfw-dev-*.tar' --out results --limit 500")
def quality(
    source: Source,
    out: Out,
    recognizer: Judges = ["dlib"],  # noqa: B006
    detector: Annotated[list[str], typer.Option(help="mtcnn, dlib-hog or dlib-cnn; repeatable.")] = [  # noqa: B006
        "mtcnn",
        "dlib-hog",
    ],
    loop: Loops = ["on"],  # noqa: B006
    generator: GeneratorFile = "default",
    method: Method = "cfa",
    angle: Angle = None,
    limit: Limit = None,
    seed: Seed = 0,
    device: Device = "cpu",
) -> None:
    """Table 3: likeness and sharpness inside the face box, and whether faces are still found."""
    from training.evaluation.bench import Request
    from training.evaluation.quality import evaluate_quality

    request = Request(source, out, tuple(recognizer), limit, generator, method, angle, tuple(loop), seed, device)
    _say(evaluate_quality(request, tuple(detector)))


@app.command(epilog="Example: cfanet evaluate control 'data/lfw-dev-*.tar' --out results --limit 50 --identities 3")
def control(
    source: Source,
    out: Out,
    recognizer: Judges = ["dlib"],  # noqa: B006
    step: Annotated[float, typer.Option(min=1, max=150, help="Degrees between the angles from 0 to 150.")] = 30.0,
    identities: Annotated[int, typer.Option(min=1, max=64, help="New identities per face and angle.")] = 3,
    target_tpr: Annotated[float, typer.Option(min=0.0, max=1.0, help="Accepted share to be reached.")] = 0.01,
    generator: GeneratorFile = "default",
    limit: Limit = 50,
    seed: Seed = 0,
    device: Device = "cpu",
) -> None:
    """Figures 3 and B to D: similarity against angle with the loop off, and the angle that is needed."""
    from training.evaluation.bench import Request
    from training.evaluation.control import evaluate_control

    angles = [step * n for n in range(int(150.0 / step + 1e-9) + 1)]
    request = Request(source, out, tuple(recognizer), limit, generator, seed=seed, device=device)
    _say(evaluate_control(request, angles, identities, target_tpr))


@app.command(epilog="Example: cfanet evaluate diversity 'data/lfw-dev-*.tar' --out results --limit 50 --identities 8")
def diversity(
    source: Source,
    out: Out,
    recognizer: Judges = ["dlib"],  # noqa: B006
    identities: Annotated[int, typer.Option(min=2, max=64, help="New identities per face.")] = 8,
    loop: Loops = ["off"],  # noqa: B006
    generator: GeneratorFile = "default",
    angle: Angle = None,
    limit: Limit = 50,
    seed: Seed = 0,
    device: Device = "cpu",
) -> None:
    """How different the new identities of one face are from one another."""
    from training.evaluation.bench import Request
    from training.evaluation.diversity import evaluate_diversity

    judges, loops = tuple(recognizer), tuple(loop)
    request = Request(source, out, judges, limit, generator, angle_deg=angle, loops=loops, seed=seed, device=device)
    _say(evaluate_diversity(request, identities))


@app.command(epilog="Example: cfanet evaluate attributes 'data/lfw-dev-*.tar' --out results --limit 500")
def attributes(
    source: Source,
    out: Out,
    group_by: Annotated[list[str] | None, typer.Option(help="Field of the samples' .json; repeatable.")] = None,
    loop: Loops = ["on"],  # noqa: B006
    generator: GeneratorFile = "default",
    method: Method = "cfa",
    angle: Angle = None,
    limit: Limit = None,
    seed: Seed = 0,
    device: Device = "cpu",
) -> None:
    """Figure F: expression, pose, skin tone and lighting kept. Its 68 landmarks exclude commercial use."""
    from training.evaluation.attributes import evaluate_attributes
    from training.evaluation.bench import Request

    request = Request(source, out, (), limit, generator, method, angle, tuple(loop), seed, device)
    _say(evaluate_attributes(request, group_by or ()))


@app.command(epilog="Example: cfanet evaluate groups 'data/lfw-dev-*.tar' --out results --limit 300 --group-by gender")
def groups(
    source: Source,
    out: Out,
    group_by: Annotated[list[str] | None, typer.Option(help="Field of the samples' .json; repeatable.")] = None,
    recognizer: Judges = ["dlib"],  # noqa: B006
    loop: Loops = ["on"],  # noqa: B006
    generator: GeneratorFile = "default",
    method: Method = "cfa",
    angle: Angle = None,
    limit: Limit = None,
    seed: Seed = 0,
    device: Device = "cpu",
) -> None:
    """For a model card: replaced, matched, likeness and detection by skin tone, size and labels."""
    from training.evaluation.bench import Request
    from training.evaluation.groups import evaluate_groups

    request = Request(source, out, tuple(recognizer), limit, generator, method, angle, tuple(loop), seed, device)
    _say(evaluate_groups(request, group_by or ()))


@app.command(
    epilog="Example: cfanet evaluate scorecard lfw-shards --pairs pairs.csv --out results --generator new.safetensors"
)
def scorecard(
    source: Source,
    pairs: Annotated[Path, typer.Option("--pairs", metavar="CSV", help="Columns fold,left,right,same.")],
    out: Out,
    recognizer: Judges = ["dlib"],  # noqa: B006
    generator: GeneratorFile = "default",
    angle: Angle = None,
    limit: Annotated[int, typer.Option(min=10, help="The right pictures of so many same pairs.")] = 100,
    everything: Annotated[bool, typer.Option("--everything", help="Of all same pairs; --limit is not used.")] = False,
    workers: Annotated[int, typer.Option(min=1, max=2, help="Processes.")] = 2,
    seed: Seed = 0,
    device: Device = "cpu",
) -> None:
    """All that a generator must reach, in one table; the first run also looks at every original, later ones do not."""
    from training.evaluation.bench import Request
    from training.evaluation.scorecard import evaluate_scorecard

    request = Request(source, out, tuple(recognizer), limit, generator, angle_deg=angle, seed=seed, device=device)
    _say(evaluate_scorecard(request, pairs, everything, workers))


@app.command(
    epilog="Example: cfanet evaluate ablation lfw-shards full=a.safetensors without-identity=b.safetensors "
    "--pairs pairs.csv --out results"
)
def ablation(
    source: Source,
    models: Annotated[
        list[str], typer.Argument(metavar="NAME=GENERATOR...", help="full, without-content, without-identity, …")
    ],
    pairs: Annotated[Path, typer.Option("--pairs", metavar="CSV", help="Columns fold,left,right,same.")],
    out: Out,
    recognizer: Judges = ["dlib"],  # noqa: B006
    angle: Angle = None,
    limit: Limit = None,
    workers: Annotated[int, typer.Option(min=1, max=16, help="Processes.")] = 2,
    seed: Seed = 0,
    device: Device = "cpu",
) -> None:
    """Table 4: generators trained without one of the losses, beside the whole one."""
    from training.evaluation.ablation import evaluate_ablation, read_models
    from training.evaluation.bench import Request

    request = Request(source, out, tuple(recognizer), limit, angle_deg=angle, seed=seed, device=device)
    _say(evaluate_ablation(request, pairs, read_models(models), workers))


@app.command(
    epilog="Example: cfanet evaluate results 'data/lfw-dev-*.tar' --pairs data/lfw-dev-pairs.csv --out runs/evaluation"
)
def results(
    source: Source,
    pairs: Annotated[Path, typer.Option("--pairs", metavar="CSV", help="Columns fold,left,right,same.")],
    out: Out,
    recognizer: Judges = ["dlib"],  # noqa: B006
    generator: GeneratorFile = "default",
    method: Annotated[list[str] | None, typer.Option(help="Compare with these only; repeatable. As of lfw.")] = None,
    ablation: Annotated[list[str] | None, typer.Option(help="name=generator.safetensors; repeatable.")] = None,
    write: Annotated[Path, typer.Option(help="Document whose marked part is rewritten.")] = Path("docs/RESULTS.md"),
    limit: Annotated[
        int | None, typer.Option(min=10, help="Same pairs that cfa anonymizes; default: all. Others: at most 300.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=16, help="Processes.")] = 2,
    seed: Seed = 0,
    device: Device = "cpu",
) -> None:
    """Every experiment, every method, every figure: what `make results` runs; goes on where it stopped."""
    from training.evaluation.ablation import read_models
    from training.evaluation.bench import Request
    from training.evaluation.results import OLDER, ResultsPlan, evaluate_results

    request = Request(source, out, tuple(recognizer), limit, generator, seed=seed, device=device)
    methods = OLDER if method is None else tuple(method)
    plan = ResultsPlan(pairs, methods, ablation=read_models(ablation or []), workers=workers)
    paths = evaluate_results(request, plan, write)
    Console().print(f"Written to {paths[1]} and {paths[0].parent}", highlight=False, soft_wrap=True)


@app.command(epilog="Example: cfanet evaluate donors 'data/celeba-ids-*.tar' celeba.donors --out results --limit 2000")
def donors(
    source: Source,
    file: Annotated[Path, typer.Argument(help="File to write; as private as the pictures.")],
    out: Out,
    limit: Limit = None,
) -> None:
    """One aligned face a person, for the methods k-same, k-same-eigen and donor-swap."""
    from training.evaluation.bench import Request
    from training.evaluation.donor_file import write_donors

    count = write_donors(Request(source, out, (), limit, method="mask"), file)
    Console().print(f"{count} donors written to {file}", highlight=False, soft_wrap=True)


@app.command(epilog="Example: cfanet evaluate video films/ --released films-released/ --out results")
def video(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="Folder of the original videos.")],
    released: Annotated[Path, typer.Option("--released", metavar="DST", help="What `cfanet release` made of it.")],
    out: Out,
    recognizer: Annotated[str, typer.Option("--recognizer", help="Recognizer that judges.")] = "dlib",
    one_by_one: Annotated[
        bool, typer.Option("--one-by-one", help="Also every frame anonymized by itself, to compare with.")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=3, help="Use only so many frames of each video.")] = None,
) -> None:
    """Stability in time: identity, landmarks and brightness from frame to frame, beside the original's."""
    from training.evaluation.video import VideoRequest, evaluate_video

    _say(evaluate_video(VideoRequest(source, released, out, recognizer, limit, one_by_one)))


def _say(paths: tuple[Path, Path]) -> None:
    console = Console()
    console.print(paths[1].read_text(encoding="utf-8"), highlight=False, markup=False, soft_wrap=True)
    console.print(f"Written to {paths[0]} and {paths[1]}", highlight=False, soft_wrap=True)
