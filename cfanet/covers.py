"""The finished picture: new faces put in, the others covered, without a cover spoiling a new face where that is safe.

A box that did not pass often lies across a face that did: a neighbour's, or nobody's at all.
"""

from collections.abc import Callable, Sequence
from typing import get_args

import numpy as np
import numpy.typing as npt

from cfanet.config import AnonymizeSettings
from cfanet.face import Face
from cfanet.fixed_kernel import fixed_kernel
from cfanet.obscure import ObscureKind, obscure, obscured_region
from cfanet.paste import lies_under, paste
from cfanet.records import Box, ImageArray

Cover = Callable[[ImageArray, Box, Sequence[Box], ImageArray], ImageArray]
"""An (H, W, 3) uint8 RGB picture with one box of it obscured, given those of all its faces and the original; a copy."""
CanBeTold = Callable[[Face, ImageArray], bool]
"""Whether a face that did not pass is still to be seen in a finished (H, W, 3) uint8 RGB picture."""


def cover_of(settings: AnonymizeSettings) -> Cover:
    """How a face is obscured: by the method itself where it is one that obscures."""
    method = settings.method
    if method == "fixed-blur" or method == "fixed-pixelate":
        return lambda image, box, *_: fixed_kernel(image, box, method, settings.fixed_kernel_px)
    kinds: tuple[ObscureKind, ...] = get_args(ObscureKind)
    chosen = next((kind for kind in kinds if kind == method), settings.obscurer)
    return lambda image, box, everyone, original: obscure(image, box, chosen, everyone, original)


def compose(image: ImageArray, faces: Sequence[Face], cover: Cover, can_be_told: CanBeTold) -> ImageArray:
    """Put the accepted faces into an (H, W, 3) uint8 RGB picture and cover the others; says of each if it is hidden.

    New faces go on top of what was covered; one whose features all lie under new faces is not covered as well. Where
    somebody can be told all the same, because a new face lies across the cover, the cover is laid again: first where
    they lie deeper in their own face than in a new one, and if they can still be told, everywhere.
    """
    patches = [face.patch for face in faces if face.patch is not None]
    failed = [face for face in faces if face.patch is None]
    under = [face for face in failed if lies_under(face.detection.landmarks, patches)]
    covered = [face for face in failed if face not in under]
    boxes = [face.box for face in faces]

    def with_covers() -> ImageArray:
        below = image
        for face in covered:
            below = cover(below, face.box, boxes, image)
        return below

    below = with_covers()
    result = paste(below, patches)
    seen = [face for face in under if can_be_told(face, result)]
    if seen:
        covered += seen
        below = with_covers()
        result = paste(below, patches)
    for face in under:
        face.hidden = face not in covered
    replaced = [face.box for face in faces if face.patch is not None]
    rows, columns = (places + 0.5 for places in np.ogrid[: image.shape[0], : image.shape[1]])
    for face in [face for face in covered if not _same(below, result, face.box)]:
        if can_be_told(face, result):
            whole = cover(result, face.box, boxes, image)
            part = np.where(_deeper(columns, rows, face.box, replaced)[..., None], whole, result)
            result = part if _hidden(face, part, replaced, can_be_told) else whole
    return result


def _hidden(face: Face, picture: ImageArray, replaced: Sequence[Box], can_be_told: CanBeTold) -> bool:
    """Whether a cover on a part of a face is enough; where nobody can judge, every feature must lie under it."""
    if face.crop is not None:
        return not can_be_told(face, picture)
    x, y = face.detection.landmarks.astype(np.float64).T
    return bool(_deeper(x, y, face.box, replaced).all())


def _deeper(
    x: npt.NDArray[np.floating], y: npt.NDArray[np.floating], box: Box, others: Sequence[Box]
) -> npt.NDArray[np.bool_]:
    """Which points lie deeper in the face of `box`, or as deep, as in any of the others."""
    own = _depth(x, y, box)
    deeper: npt.NDArray[np.bool_] = np.all([own <= _depth(x, y, other) for other in others], axis=0)
    return deeper


def _depth(x: npt.NDArray[np.floating], y: npt.NDArray[np.floating], box: Box) -> npt.NDArray[np.float64]:
    """Distance from the middle of a box, 1 on the ellipse that it holds."""
    middle_x, middle_y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    width, height = max(box[2] - box[0], 1.0) / 2, max(box[3] - box[1], 1.0) / 2
    depth: npt.NDArray[np.float64] = np.hypot((x - middle_x) / width, (y - middle_y) / height)
    return depth


def _same(one: ImageArray, other: ImageArray, box: Box) -> bool:
    """Whether two pictures are the same wherever the face in `box` would be covered."""
    left, top, right, bottom = obscured_region(box, one.shape[1], one.shape[0])
    return np.array_equal(one[top:bottom, left:right], other[top:bottom, left:right])
