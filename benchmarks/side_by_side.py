"""The same pictures by plain calls of our code, by a Ray worker, and by `deface` (PyPI), one after the other, repeated.

Everything runs on one thread, from file to file, and what loads models is not counted. Ours anonymizes and checks what
it wrote; deface finds faces and blurs them.
"""

import contextlib
import io
import os
import statistics
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cfanet.images import Picture, decode, encode
from jobs.anonymize import AnonymizeWorker
from jobs.config import ReleaseConfig, load_config
from jobs.progress import Progress
from jobs.release import anonymize
from jobs.run import open_run
from jobs.stages import enrol
from tests.jobs.fakes import write_tar

_A_SHARD = 12  # pictures
_ROUNDS = 3


def read_pictures(source: Path, most: int) -> list[tuple[str, bytes]]:
    """(name, file) of the first pictures of the tars in a folder."""
    found: list[tuple[str, bytes]] = []
    for path in sorted(source.glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                if member.name.endswith((".jpg", ".png")) and len(found) < most:
                    file = tar.extractfile(member)
                    assert file is not None
                    found.append((member.name, file.read()))
    return found


def deface_pace(pictures: Sequence[tuple[str, bytes]], folder: Path) -> float:
    """Seconds a picture of deface with its own settings: from a file to a blurred file."""
    import cv2
    from deface.centerface import CenterFace
    from deface.deface import image_detect

    cv2.setNumThreads(1)
    network = CenterFace(in_shape=None, backend="auto")
    for number, (name, data) in enumerate(pictures):
        (folder / f"{number}{Path(name).suffix}").write_bytes(data)
    paths = sorted(folder.iterdir())

    def blur(path: Path) -> None:
        image_detect(
            str(path), str(path.with_stem(f"{path.stem}-blurred")), network,
            threshold=0.2, replacewith="blur", mask_scale=1.3, ellipse=True, draw_scores=False, enable_preview=False,
            keep_metadata=False,
        )  # fmt: skip

    blur(paths[0])
    started = time.perf_counter()
    for path in paths:
        blur(path)
    return (time.perf_counter() - started) / len(paths)


def library_pace(pictures: Sequence[tuple[str, bytes]], method: str) -> dict[str, float]:
    """Seconds a picture of each step of the library: decode, detect, replace, encode, check; no gallery, no files."""
    from cfanet.anonymizer import build_anonymizer
    from cfanet.seeds import SeedKey
    from jobs.tools import RealTools

    config = load_config(None, (), {"anonymize.method": method})
    detector = RealTools(config).detector()
    anonymizer = build_anonymizer(config.anonymize, SeedKey(b"0123456789abcdef"), {})
    steps = dict.fromkeys(("decode", "detect", "replace", "encode", "check"), 0.0)
    for number, (name, data) in enumerate([pictures[0], *pictures]):
        marks = [time.perf_counter()]
        source = decode(data, 64.0)
        marks.append(time.perf_counter())
        faces = detector.detect(source.pixels)
        marks.append(time.perf_counter())
        result = anonymizer.run([source.pixels], [name], [faces])[0]
        marks.append(time.perf_counter())
        assert result.image is not None
        written = encode(Picture(result.image, source.format), config.anonymize.jpeg_quality)
        marks.append(time.perf_counter())
        anonymizer.check_released(source.pixels, decode(written, 64.0).pixels, result)
        marks.append(time.perf_counter())
        for step, begun, ended in zip(steps, marks, marks[1:], strict=False):
            steps[step] += (ended - begun) / len(pictures) if number else 0.0  # the first call only warms up
    return steps


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _between_manifests(config: ReleaseConfig, shards: int, a_shard: int) -> float:
    """Seconds a picture from the first manifest to the last: without loading, without the first shard."""
    folder = Path(config.destination.uri) / "_cfanet" / "manifest"
    times = sorted(path.stat().st_mtime for path in folder.iterdir())
    assert len(times) == shards
    return (times[-1] - times[0]) / ((shards - 1) * a_shard)


def worker_paces(pictures: Sequence[tuple[str, bytes]], folder: Path) -> tuple[float, float]:
    """Seconds a picture of AnonymizeWorker called in a plain loop, and of the same worker under Ray."""
    shards = len(pictures) // _A_SHARD
    for number in range(shards):
        write_tar(folder / f"source/{number}.tar", pictures[number * _A_SHARD : (number + 1) * _A_SHARD])
    quiet = Progress(Console(file=io.StringIO()))

    def config(name: str) -> ReleaseConfig:
        places = {"source.uri": str(folder / "source"), "destination.uri": str(folder / name)}
        return load_config(None, (), places | {"run.gallery": str(folder / "gallery"), "run.workers": 1})

    under_ray = config("ray")
    anonymize(under_ray, quiet)
    plain = config("plain")
    run = open_run(plain)
    enrol(run, quiet)  # everything is in the gallery already: this seals it
    worker = AnonymizeWorker(run.context)
    for item in run.plan.items:
        worker.process(item)
    return _between_manifests(plain, shards, _A_SHARD), _between_manifests(under_ray, shards, _A_SHARD)


def show_side_by_side(source: Path, console: Console, most: int = 96) -> None:
    """Measure everything `_ROUNDS` times in turn, and print the best round of each and all ratios."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    pictures = read_pictures(source, most)
    pictures = pictures[: len(pictures) // _A_SHARD * _A_SHARD]
    names = ("deface", "library, cfa", "library, blur", "worker, plain loop", "worker, Ray")
    paces: dict[str, list[float]] = {name: [] for name in names}
    steps: list[dict[str, float]] = []
    with _one_thread():
        for _ in range(_ROUNDS):
            with tempfile.TemporaryDirectory(prefix="cfanet-bench-") as name:
                (Path(name) / "deface").mkdir()
                paces["deface"].append(deface_pace(pictures, Path(name) / "deface"))
                steps.append(library_pace(pictures, "cfa"))
                paces["library, cfa"].append(sum(steps[-1].values()))
                paces["library, blur"].append(sum(library_pace(pictures, "blur").values()))
                plain, under_ray = worker_paces(pictures, Path(name))
                paces["worker, plain loop"].append(plain)
                paces["worker, Ray"].append(under_ray)
    table = Table(f"{len(pictures)} pictures", "pictures/s, best round", "of deface's, by round", box=None)
    for name, rounds in paces.items():
        ratios = [theirs / ours for theirs, ours in zip(paces["deface"], rounds, strict=True)]
        table.add_row(name, f"{1 / min(rounds):.1f}", ", ".join(f"{ratio:.2f}" for ratio in ratios))
    console.print(table)
    ratios = [p / r for p, r in zip(paces["worker, plain loop"], paces["worker, Ray"], strict=True)]
    console.print(f"Ray against the plain loop: {', '.join(f'{ratio:.3f}' for ratio in ratios)}")
    medians = {step: statistics.median(one[step] for one in steps) for step in steps[0]}
    console.print("library, cfa, ms a picture: " + ", ".join(f"{s} {1000 * t:.1f}" for s, t in medians.items()))
