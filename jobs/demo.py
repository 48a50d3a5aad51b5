"""The demo: a small dataset from public-domain pictures that other packages bring, released on a local Ray.

The portraits are NASA's of Eileen Collins (scikit-image) and the US Navy's of Grace Hopper (Matplotlib).
"""

import io
import json
import shutil
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from PIL import Image, ImageEnhance, ImageOps
from rich.console import Console

from cfanet.errors import InputError
from jobs.config import load_config
from jobs.progress import Progress
from jobs.release import Outcome, release

_MARK = ".cfanet-demo"  # says that a folder was made by this command, and may be removed by it
_SHARDS = 4
_ANGLE_DEG = 110.0  # of some thirty faces not one may be matched: the gate's limit is one in a hundred
_KEY = b"the demo's key is no secret: it shows the same faces every time\n"
_PORTRAITS = {
    "collins": ("skimage.data", "astronaut.png"),
    "hopper": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
}
_SCENES = {name: ("skimage.data", name) for name in ("coffee.png", "chelsea.png", "rocket.jpg")}
# Where the head is, as shares of the portrait: left, top, right, bottom.
_HEADS = {"collins": (0.24, 0.0, 0.64, 0.52), "hopper": (0.24, 0.08, 0.80, 0.62)}

Change = Callable[[Image.Image], Image.Image]


@dataclass(frozen=True)
class DemoPicture:
    """One picture of the demo's dataset."""

    key: str
    image: Image.Image
    identity: str | None  # whose face it shows; None for none or several
    format: str = "JPEG"

    @property
    def kind(self) -> str:
        """What the caption says: "portrait", "group" or "scene"."""
        return "portrait" if self.identity else self.key.partition("-")[0]


def run_demo(out: Path, console: Console) -> Outcome:
    """Build the dataset in `out`/originals, release it to `out`/released; folders of an earlier demo are replaced."""
    _prepare(out)
    source, destination = out / "originals", out / "released"
    pictures = demo_pictures()
    write_dataset(pictures, source)
    console.print(
        f"Dataset   {len(pictures)} pictures in {_SHARDS} shards, made from public-domain portraits: {source}",
        highlight=False,
        soft_wrap=True,
    )
    (out / "demo.key").write_bytes(_KEY)
    values = {
        "source.uri": str(source),
        "destination.uri": str(destination),
        "destination.keep_members": ["txt"],
        "anonymize.angle_deg": _ANGLE_DEG,
        "run.key_file": str(out / "demo.key"),
    }
    return release(load_config(None, (), values), Progress(console))


def _prepare(out: Path) -> None:
    """Make `out` empty, but only ever remove what this command made."""
    if out.exists() and not (out / _MARK).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} exists and was not made by the demo: give another folder with --out")
    for name in ("originals", "released", "released.gallery"):
        shutil.rmtree(out / name, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    (out / _MARK).write_text("made by `cfanet demo`, which may remove the folders beside this file\n")


def demo_pictures() -> list[DemoPicture]:
    """Portraits in many versions, groups of faces of different sizes, and scenes without anybody; in a fixed order."""
    pictures: list[DemoPicture] = []
    for who in _PORTRAITS:
        head = _head(who)
        pictures += [DemoPicture(f"{who}-{name}", change(head), who) for name, change in _CHANGES.items()]
    pictures += [DemoPicture(f"group-{number}", _group(heights), None) for number, heights in enumerate(_GROUPS)]
    for name, place in sorted(_SCENES.items()):
        pictures.append(DemoPicture(f"scene-{Path(name).stem}", _load(*place), None, "PNG"))
    # Interleaved, so that every shard has a bit of everything.
    return [picture for start in range(_SHARDS) for picture in pictures[start::_SHARDS]]


def write_dataset(pictures: Sequence[DemoPicture], folder: Path) -> None:
    """Write WebDataset shards: a picture, a .json that may name the person, and a .txt with a caption each."""
    folder.mkdir(parents=True)
    size = -(-len(pictures) // _SHARDS)
    for shard in range(_SHARDS):
        with tarfile.open(folder / f"portraits-{shard:06d}.tar", "w", format=tarfile.PAX_FORMAT) as archive:
            for picture in pictures[shard * size : (shard + 1) * size]:
                buffer = io.BytesIO()
                picture.image.save(buffer, picture.format, quality=92)
                _add(archive, f"{picture.key}.{'jpg' if picture.format == 'JPEG' else 'png'}", buffer.getvalue())
                # A number, not the name: the keys hold the name, and the audit would refuse a name that it knows.
                labels = {"identity": f"person-{list(_PORTRAITS).index(picture.identity)}"} if picture.identity else {}
                _add(archive, f"{picture.key}.json", json.dumps(labels).encode())
                _add(archive, f"{picture.key}.txt", f"a {picture.kind}\n".encode())


_CHANGES: dict[str, Change] = {
    "plain": lambda image: image,
    "mirrored": ImageOps.mirror,
    "tilted": lambda image: image.rotate(9, Image.Resampling.BICUBIC, fillcolor=(90, 90, 90)),
    "small": lambda image: image.resize((140, 140), Image.Resampling.LANCZOS),
    "bright": lambda image: ImageEnhance.Brightness(image).enhance(1.25),
    "dark": lambda image: ImageEnhance.Brightness(image).enhance(0.65),
    "grey": lambda image: ImageOps.grayscale(image).convert("RGB"),
    "close": lambda image: image.crop((40, 30, 220, 210)).resize((256, 256), Image.Resampling.LANCZOS),
}
_GROUPS = ((240, 240), (220, 130), (120, 200, 90), (150, 150, 150, 110), (256, 70))


def _head(who: str) -> Image.Image:
    """The head of a portrait, 256 × 256."""
    portrait = _load(*_PORTRAITS[who])
    shares = _HEADS[who]
    left, top, right, bottom = (round(share * portrait.size[i % 2]) for i, share in enumerate(shares))
    side = max(right - left, bottom - top)
    left = max(0, min(left - (side - (right - left)) // 2, portrait.width - side))
    return portrait.crop((left, top, left + side, top + side)).resize((256, 256), Image.Resampling.LANCZOS)


def _group(heights: Sequence[int]) -> Image.Image:
    """Heads of the given sizes side by side on grey."""
    canvas = Image.new("RGB", (sum(heights) + 10 * (len(heights) + 1), max(heights) + 20), (168, 172, 176))
    left = 10
    for number, height in enumerate(heights):
        head = _head(list(_PORTRAITS)[number % 2])
        face = ImageOps.mirror(head) if number % 4 >= 2 else head
        canvas.paste(face.resize((height, height), Image.Resampling.LANCZOS), (left, canvas.height - height - 10))
        left += height + 10
    return canvas


def _load(package: str, name: str) -> Image.Image:
    """A picture inside an installed package, at most 640 pixels wide."""
    with (resources.files(package) / name).open("rb") as file:
        image = Image.open(file).convert("RGB")
    image.thumbnail((640, 640), Image.Resampling.LANCZOS)
    return image


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    header = tarfile.TarInfo(name)
    header.size, header.mtime = len(data), 1_700_000_000
    archive.addfile(header, io.BytesIO(data))
