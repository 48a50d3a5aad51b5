"""One picture looked at closely: faces found, angles × identities (paper, Fig. 3), similarity curves."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cfanet.align import crop_points, similarity_transform
from cfanet.config import AnonymizeSettings
from cfanet.detect import MTCNNDetector
from cfanet.errors import InputError
from cfanet.face import Face, known, unreplaceable
from cfanet.identity import IdentityBranch, IdentityPolicy, propose
from cfanet.images import decode
from cfanet.new_faces import NewFaces
from cfanet.paste import paste
from cfanet.recognizers import load_recognizer
from cfanet.records import Detection, ImageArray, Recognizer
from cfanet.search import pair_similarity
from cfanet.seeds import SeedKey
from cfanet.weights import TrainedGenerator, load_generator

_CONTEXT = 0.9  # how much of the surroundings a grid cell shows, in face widths on each side


@dataclass(frozen=True, eq=False)
class InspectionSummary:
    """What `render_inspection` found and drew."""

    faces: tuple[Detection, ...]
    refusals: tuple[str, ...]  # why a release would obscure each of them at once; empty where it would not
    shown: int  # which of them is replaced
    angles_deg: tuple[float, ...]
    similarity: dict[str, npt.NDArray[np.float64]]  # recognizer → (identities, angles): with the original
    picture: Path


def render_inspection(
    path: Path,
    out: Path,
    settings: AnonymizeSettings,
    angles: Sequence[float] = (0, 30, 60, 90, 120),
    identities: int = 3,
    recognizer: str | None = "dlib",
) -> InspectionSummary:
    """Draw the inspection of one picture to `out` (PNG).

    The largest face, of those that a release would not obscure at once, is replaced at each of `angles` (degrees)
    towards `identities` directions, as in a release without the loop; each result is compared with the original by the
    generator's identity branch and by `recognizer` (None for the branch alone).
    InputError when the file cannot be read or shows no face; PictureError when it cannot be decoded.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): give a picture file") from error
    image = decode(data, settings.max_megapixels).pixels
    faces = MTCNNDetector(settings.detector).detect(image)
    if not faces:
        raise InputError(
            f"no face was found in {path}: give a picture with a face of {settings.detector.min_face_px} px"
        )
    generator = load_generator(settings.generator)
    judges: dict[str, Recognizer] = {IdentityBranch.name: IdentityBranch(generator)}
    if recognizer is not None:
        judge = load_recognizer(recognizer)
        judges[judge.name] = judge
    height, width = image.shape[:2]
    refusals = tuple(unreplaceable(face, height, width, settings) for face in faces)
    able = [index for index, refusal in enumerate(refusals) if not refusal] or range(len(faces))
    shown = max(able, key=lambda index: faces[index].box[2] - faces[index].box[0])
    largest = faces[shown]
    grid = _grid(image, largest, generator, settings, angles, identities)
    similarity = {name: _similarities(judge, image, grid, largest) for name, judge in judges.items()}
    summary = InspectionSummary(tuple(faces), refusals, shown, tuple(angles), similarity, out)
    _draw(summary, image, largest, grid)
    return summary


@torch.inference_mode()
def _grid(
    image: ImageArray,
    detection: Detection,
    generator: TrainedGenerator,
    settings: AnonymizeSettings,
    angles: Sequence[float],
    identities: int,
) -> list[list[ImageArray]]:
    """The picture with the face moved by each angle, towards each of as many directions: a row for each of these."""
    made, policy = NewFaces(generator, settings), IdentityPolicy.of(generator, settings)
    face = Face(0, 0, detection, "")
    face.matrix = similarity_transform(detection.landmarks, crop_points(made.size))
    made.encode([face], [image])
    made.prepare([face], [image])
    key = SeedKey(b"inspection: the same every time")
    rows = []
    for row in range(identities):
        vectors = [propose(known(face.z_id), policy, angle, key.generator("inspect", row, 0)) for angle in angles]
        (patches,) = made.patches([(face, vectors)])
        rows.append([paste(image, [patch]) for patch in patches])
    return rows


def _similarities(
    judge: Recognizer, image: ImageArray, grid: list[list[ImageArray]], face: Detection
) -> npt.NDArray[np.float64]:
    """(identities, angles) float64 cosine with the original face."""
    original = judge.embed([image], [face.landmarks])
    return np.array(
        [[float(pair_similarity(judge.embed([c], [face.landmarks]), original)[0]) for c in r] for r in grid]
    )


def _draw(summary: InspectionSummary, image: ImageArray, largest: Detection, grid: list[list[ImageArray]]) -> None:
    from matplotlib.figure import Figure  # late: half a second that other uses of this package do not need

    rows, columns = len(grid), len(summary.angles_deg)
    figure = Figure(figsize=(2.0 * (columns + 2), 2.0 * rows + 3.2), dpi=110, layout="constrained")
    layout: Any = figure.subfigures(2, 1, height_ratios=[2.0 * rows, 3.2])
    top, bottom = layout
    left, right = top.subfigures(1, 2, width_ratios=[2, columns])
    _draw_faces(left.subplots(), image, summary.faces)
    cells = np.atleast_2d(right.subplots(rows, columns, squeeze=False))
    window = _surroundings(largest, image.shape[1], image.shape[0])
    for row, several in enumerate(grid):
        for column, picture in enumerate(several):
            axes = cells[row, column]
            axes.imshow(picture[window[1] : window[3], window[0] : window[2]])
            axes.set_xticks([])
            axes.set_yticks([])
            if row == 0:
                axes.set_title(f"{summary.angles_deg[column]:g}°")
        cells[row, 0].set_ylabel(f"identity {row + 1}")
    _draw_curves(bottom.subplots(), summary.angles_deg, summary.similarity)
    figure.savefig(summary.picture)


def _draw_faces(axes: Any, image: ImageArray, faces: Sequence[Detection]) -> None:
    from matplotlib.patches import Rectangle

    axes.imshow(image)
    for face in faces:
        x0, y0, x1, y1 = face.box
        axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, color="#39a0ed", linewidth=1.5))
        axes.plot(face.landmarks[:, 0], face.landmarks[:, 1], ".", color="#39a0ed", markersize=3)
    axes.set_title(f"{len(faces)} face{'s' if len(faces) != 1 else ''} found")
    axes.set_axis_off()


def _draw_curves(axes: Any, angles: tuple[float, ...], similarity: dict[str, npt.NDArray[np.float64]]) -> None:
    for (name, values), colour in zip(similarity.items(), ("#39a0ed", "#d1495b", "#66a182"), strict=False):
        axes.plot(angles, values.mean(0), "o-", color=colour, label=name)
        axes.fill_between(angles, values.min(0), values.max(0), color=colour, alpha=0.15)
    axes.set_xlabel("angle asked, degrees")
    axes.set_ylabel("similarity with the original")
    axes.set_ylim(-0.6, 1.05)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)


def _surroundings(face: Detection, width: int, height: int) -> tuple[int, int, int, int]:
    """A square around the face, clipped to the picture."""
    x, y = (face.box[0] + face.box[2]) / 2, (face.box[1] + face.box[3]) / 2
    half = _CONTEXT * max(face.box[2] - face.box[0], face.box[3] - face.box[1])
    return max(0, int(x - half)), max(0, int(y - half)), min(width, int(x + half)), min(height, int(y + half))
