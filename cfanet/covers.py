"""The finished picture: new faces put in, the others covered, without a cover spoiling a new face where that is safe.

A box that did not pass often lies across a face that did: a neighbour's, or nobody's at all.
"""

from collections.abc import Callable, Sequence
from typing import get_args

import numpy as np

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

    New faces go on top of what was covered; one whose features all lie under new faces is not covered as well. Whoever
    can be told then, because a new face lies across the cover, is covered whatever lies there.
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
    crossed = [face for face in covered if not _same(below, result, face.box)]
    for face in crossed:
        if can_be_told(face, result):
            result = cover(result, face.box, boxes, image)
    return result


def _same(one: ImageArray, other: ImageArray, box: Box) -> bool:
    """Whether two pictures are the same wherever the face in `box` would be covered."""
    left, top, right, bottom = obscured_region(box, one.shape[1], one.shape[0])
    return np.array_equal(one[top:bottom, left:right], other[top:bottom, left:right])
