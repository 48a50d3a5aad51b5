"""Pictures of faces for the documents, of portraits in the public domain: never of the data."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from matplotlib.figure import Figure

from cfanet.anonymizer import Anonymizer, build_anonymizer
from cfanet.config import AnonymizeSettings
from cfanet.detect import MTCNNDetector
from cfanet.records import Detection, ImageArray
from training.evaluation.anonymized import evaluation_key, without_loop
from training.evaluation.bench import Request
from training.evaluation.figure_style import INK, cut, new_figure, panels, picture_blocks, picture_grid, save, styled
from training.evaluation.landmarks68 import landmarks68
from training.evaluation.public_domain import collins, hopper

ANGLES_DEG = (0.0, 30.0, 60.0, 90.0, 120.0)
_IDENTITIES = 3
_BORROWING = {"k-same", "k-same-eigen", "donor-swap"}  # show the faces of people in the data
_WIDEST = 7  # columns that a reader still sees as faces


def draw_portraits(request: Request, methods: Sequence[str], out: Path) -> list[Path]:
    """Before and after by method, angles × identities, and 68 landmarks before and after; returns the files."""
    people = [(image, _face(image)) for image in (collins(), hopper())]
    with styled():
        return _draw(request, methods, out, people)


def _draw(
    request: Request, methods: Sequence[str], out: Path, people: Sequence[tuple[ImageArray, Detection]]
) -> list[Path]:
    names, columns = ["original"], [[cut(image, face.box) for image, face in people]]
    for method in methods:
        settings = replace(request, method=method).settings
        if settings.method in _BORROWING:
            continue
        for label, variant in _variants(replace(request, method=method).choice.name, settings):
            names.append(label)
            columns.append([cut(_released(image, face, variant, 0), face.box) for image, face in people])
    half = -(-len(names) // 2) if len(names) > _WIDEST else len(names)
    blocks = [
        ([list(row) for row in zip(*columns[start : start + half], strict=True)], names[start : start + half])
        for start in range(0, len(names), half)
    ]
    made = [save(picture_blocks(blocks), out / "before-after.png")]
    made.append(save(_identities(people, request.settings), out / "identities.png"))
    made.append(save(_landmarks(people, request.settings), out / "landmarks.png"))
    return made


def _face(image: ImageArray) -> Detection:
    return max(_detector().detect(image), key=lambda face: face.box[2] - face.box[0])


@cache
def _detector() -> MTCNNDetector:
    return MTCNNDetector(AnonymizeSettings().detector)


def _variants(name: str, settings: AnonymizeSettings) -> list[tuple[str, AnonymizeSettings]]:
    if settings.method != "cfa":
        return [(name, settings)]
    return [("cfa, loop off", without_loop(settings)), ("cfa, loop on", settings)]


def _released(image: ImageArray, face: Detection, settings: AnonymizeSettings, seed: int) -> ImageArray:
    result = _anonymizer(settings, seed).run([image], ["portrait"], [[face]])[0]
    assert result.image is not None, "these settings obscure what cannot be replaced"
    return result.image


@cache
def _anonymizer(settings: AnonymizeSettings, seed: int) -> Anonymizer:
    return build_anonymizer(settings, evaluation_key(seed), {})


def _identities(people: Sequence[tuple[ImageArray, Detection]], settings: AnonymizeSettings) -> Figure:
    """Angles × identities, as in the paper's Figure 3, with the loop off."""
    cells, rows = [], []
    for image, face in people:
        for seed in range(_IDENTITIES):
            line = [cut(image, face.box)]
            for angle in ANGLES_DEG:
                turned = without_loop(settings.model_copy(update={"angle_deg": angle}))
                line.append(cut(_released(image, face, turned, seed), face.box))
            cells.append(line)
            rows.append(f"identity {seed + 1}")
    return picture_grid(cells, ["original", *(f"{angle:g}°" for angle in ANGLES_DEG)], rows)


def _landmarks(people: Sequence[tuple[ImageArray, Detection]], settings: AnonymizeSettings) -> Figure:
    figure = new_figure(2.6 * 2 * len(people), 2.8)
    line = panels(figure, 1, 2 * len(people))[0]
    for position, (image, face) in enumerate(people):
        after = _released(image, face, settings, 0)
        for axes, picture, title in zip(line[2 * position :], (image, after), ("original", "released"), strict=False):
            points = landmarks68(picture, face.box)
            axes.imshow(picture)
            axes.plot(points[:, 0], points[:, 1], ".", color="#ffd166", markersize=3.5, markeredgecolor=INK, mew=0.3)
            margin = 0.35 * (face.box[2] - face.box[0])
            axes.set_xlim(face.box[0] - margin, face.box[2] + margin)
            axes.set_ylim(face.box[3] + margin, face.box[1] - margin)
            axes.set_title(title)
            axes.set_axis_off()
    return figure
