"""The finished picture: new faces put in, the others covered, without a cover spoiling a new face where that is safe.

A box that did not pass often lies across a face that did: a neighbour's, or nobody's at all. Whose a pixel is, depth
tells: its distance from the middle of a face's box, 1 on the ellipse that the box holds.
"""

from collections.abc import Callable, Sequence
from typing import get_args

import numpy as np
import numpy.typing as npt

from cfanet.config import AnonymizeSettings
from cfanet.face import Face
from cfanet.fixed_kernel import fixed_kernel
from cfanet.obscure import ObscureKind, cover_weight, obscure, obscured_region
from cfanet.paste import Patch, lies_under, paste, smoothstep
from cfanet.records import Box, ImageArray

Cover = Callable[[ImageArray, Box, Sequence[Box], ImageArray], ImageArray]
"""An (H, W, 3) uint8 RGB picture with one box of it obscured, given those of all its faces and the original; a copy."""
CanBeTold = Callable[[Face, ImageArray], bool]
"""Whether a face that did not pass is still to be seen in a finished (H, W, 3) uint8 RGB picture."""

_SHARES = (1.0, 1.3, 1.7, 2.2, 3.0)  # how many times as deep in a new face a pixel may lie that a cover takes from it
_PLAINLY = 1.3  # from here on a pixel is beyond question the new face's
_BEYOND = 1.2  # depth from which a pixel is beyond question outside a face


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

    New faces go on top of what was covered, and do not fade into it. A cover spares what surrounds a new face, as its
    hair, where that lies outside the face below the cover. One whose features all lie under new faces is not covered
    as well. Where somebody can be told all the same, their cover is laid again on top of the new faces: where they lie
    deeper in their own, then on more and more, and if they can still be told, everywhere.
    """
    failed = [face for face in faces if face.patch is None]
    under = [face for face in failed if lies_under(face.detection.landmarks, _patches(faces))]
    covered = [face for face in failed if face not in under]
    below, result, borders = _with_covers(image, faces, covered, cover)
    seen = [face for face in under if can_be_told(face, result)]
    if seen:
        covered += seen
        below, result, borders = _with_covers(image, faces, covered, cover)
    for face in under:
        face.hidden = face not in covered
    pairs = zip(covered, borders, strict=True)
    for face, border in [(face, border) for face, border in pairs if border.is_crossed(below, result)]:
        if can_be_told(face, result):
            whole = cover(result, face.box, [face.box for face in faces], image)
            result = _least_cover(face, border, result, whole, can_be_told)
    return result


def _with_covers(
    image: ImageArray, faces: Sequence[Face], covered: Sequence[Face], cover: Cover
) -> tuple[ImageArray, ImageArray, list["_Border"]]:
    """The picture with some of its faces covered, the same with the new ones on top, and a border for each cover."""
    below, borders = image, [_Border(face.box, faces, image) for face in covered]
    for face, border in zip(covered, borders, strict=True):
        here, spared = border.window, border.spared[..., None]
        laid = cover(below, face.box, [face.box for face in faces], image)
        laid[here] = np.rint(spared * below[here] + (1.0 - spared) * laid[here]).astype(np.uint8)
        below = laid
    return below, paste(below, _patches(faces), _firmness(image, borders) if borders else None), borders


def _firmness(image: ImageArray, borders: Sequence["_Border"]) -> npt.NDArray[np.float32]:
    """Where new faces do not fade into the picture, as covers have left nothing of it there; (H, W) in [0, 1]."""
    firm = np.zeros(image.shape[:2], np.float32)
    for border in borders:
        firm[border.window] = np.maximum(firm[border.window], border.firm)
    return firm


def _least_cover(
    face: Face, border: "_Border", picture: ImageArray, whole: ImageArray, can_be_told: CanBeTold
) -> ImageArray:
    """The picture with the smallest part of a cover that hides a face; `whole` is the picture with all of it.

    Where nobody can judge, or whoever can tells the face by its surroundings even under the whole, its features decide:
    every one must lie under the cover.
    """
    here = border.window
    judged = face.crop is not None and not can_be_told(face, whole)
    for share in _SHARES:
        part = picture.copy()
        part[here] = np.where(border.taken(share)[..., None], whole[here], picture[here])
        if not can_be_told(face, part) if judged else border.holds(face, share):
            return part
    return whole


def _patches(faces: Sequence[Face]) -> list[Patch]:
    return [face.patch for face in faces if face.patch is not None]


class _Border:
    """Where the cover of one face and the new faces of its picture meet; arrays are (h, w), of the cover's pixels."""

    def __init__(self, box: Box, faces: Sequence[Face], image: ImageArray) -> None:
        left, top, right, bottom = obscured_region(box, image.shape[1], image.shape[0])
        self.window = slice(top, bottom), slice(left, right)
        self._box, self._others = box, [face.box for face in faces if face.patch is not None]
        rows, columns = (places + 0.5 for places in np.ogrid[self.window])
        self._own, theirs = self._depths(columns, rows)
        plainly_theirs = _rise(self._own / np.maximum(theirs, 1e-6), _PLAINLY)
        self._theirs = theirs
        self.spared = _rise(self._own, _BEYOND) * plainly_theirs  # share of the cover that is left out
        # How little of the picture a new face has below it there, to fade into.
        self.firm = cover_weight(box, (left, top, right, bottom)) * (1.0 - self.spared) * plainly_theirs

    def is_crossed(self, below: ImageArray, result: ImageArray) -> bool:
        """Whether new faces took something of the cover: `below` is without them, `result` with them."""
        return bool(self.spared.any()) or not np.array_equal(below[self.window], result[self.window])

    def taken(self, share: float) -> npt.NDArray[np.bool_]:
        """Which pixels the cover takes that may lie `share` times as deep in a new face as in the covered one."""
        taken: npt.NDArray[np.bool_] = self._own <= share * self._theirs
        return taken

    def holds(self, face: Face, share: float) -> bool:
        """Whether all features of the covered face lie in what the cover takes then."""
        own, theirs = self._depths(*face.detection.landmarks.astype(np.float64).T)
        return bool((own <= share * theirs).all())

    def _depths(
        self, x: npt.NDArray[np.floating], y: npt.NDArray[np.floating]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """How deep points lie in the covered face, and how deep in that new one that they lie deepest in."""
        own = _depth(x, y, self._box)
        theirs = np.full_like(own, np.inf)
        for other in self._others:
            theirs = np.minimum(theirs, _depth(x, y, other))
        return own, theirs


def _depth(x: npt.NDArray[np.floating], y: npt.NDArray[np.floating], box: Box) -> npt.NDArray[np.float64]:
    """Distance from the middle of a box, 1 on the ellipse that it holds."""
    middle_x, middle_y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    width, height = max(box[2] - box[0], 1.0) / 2, max(box[3] - box[1], 1.0) / 2
    depth: npt.NDArray[np.float64] = np.hypot((x - middle_x) / width, (y - middle_y) / height)
    return depth


def _rise(value: npt.NDArray[np.float64], end: float) -> npt.NDArray[np.float64]:
    """From 0 at 1 to 1 at `end`, smoothly."""
    return smoothstep((value - 1.0) / (end - 1.0))
