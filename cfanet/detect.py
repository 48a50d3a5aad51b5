"""Face detection: MTCNN (Zhang et al., 2016) with facenet-pytorch's weights, tuned to miss as little as it can.

Three searches. The first looks closely at the picture as it is. The second looks with MTCNN as facenet-pytorch sets it
up: with more candidates in the first stages another one of them is kept, sometimes one that the last stage likes less,
so a wider search does not find everything that a narrower one finds. The third looks for faces that the picture's
border cuts: at a smaller copy with its margins mirrored outwards, where half a face becomes a whole one.

What they say of a face at the border is too large and too far out, and its five points lie beside it (R-Net and O-Net
see of a region what lies in the picture, stretched to their square, which is probably why): such faces are looked at
again, each in a window of its own that carries the picture on. What all this costs and finds is in docs/LOG.md.
"""

import math
from collections.abc import Iterator

import numpy as np
import torch

from cfanet.border import carried_on, lie_inside, mirrored
from cfanet.boxes import iou, overlap, share_inside
from cfanet.config import DetectorSettings
from cfanet.errors import PictureError
from cfanet.mtcnn import Cascade, Search
from cfanet.records import Detection, Excused, ImageArray

# P-Net's and R-Net's thresholds; the original's 0.6 and 0.7 miss some faces of 12 px. The last comes from the settings.
_STAGE_THRESHOLDS = (0.5, 0.5)
_PLAIN_THRESHOLDS = (0.6, 0.7, 0.7)  # facenet-pytorch's own, as are its sizes: 20 px and up by steps of 0.709
_PLAIN_STEP = 0.709
_PLAIN_BASE_PX = 20.0
_PYRAMID_STEP = math.sqrt(_PLAIN_STEP)  # sizes twice as close together as the original's, and a superset of them
# P-Net looks at 12-pixel windows, so a picture with a shorter side is enlarged by its border first.
_SMALLEST_SIDE = 24
_CUT_FACE_PX = 24  # smallest face looked for in the mirrored copy
_CUT_THRESHOLDS = (0.7, 0.7, 0.8)  # mirrored margins also make faces out of what is none
_INSIDE = 0.2  # share of a cut face's box that must lie in the picture
_AGAIN_FACE_PX = 32.0  # smallest face looked for around one; its own box takes 80 px there
_ROUNDS = 2  # the second starts from where the first has seen the face
_SAME = 0.4  # overlap, as a share of the smaller box, from which two boxes are one face
_ONE_PLACE = 0.7  # the same, from which no face is moved onto another one's place


class MTCNNDetector:
    """Finds all faces of a picture, one picture at a time, so that a result never depends on its neighbours."""

    name = "mtcnn"

    def __init__(self, settings: DetectorSettings, device: torch.device | str = "cpu") -> None:
        """Load the three networks, which come with facenet-pytorch."""
        self._cascade = Cascade(device)
        # Whoever runs MTCNN as it comes on a released picture must find no face that was not found here.
        plain = (*_PLAIN_THRESHOLDS[:2], max(_PLAIN_THRESHOLDS[2], settings.score))
        self._plain = Search(_PLAIN_BASE_PX, _PLAIN_STEP, plain)
        self._close = Search(_on_grid(settings.min_face_px), _PYRAMID_STEP, (*_STAGE_THRESHOLDS, settings.score))
        self._again = Search(_AGAIN_FACE_PX, _PYRAMID_STEP, (*_STAGE_THRESHOLDS, settings.score))
        self._cut = Search(_on_grid(_CUT_FACE_PX), _PYRAMID_STEP, _CUT_THRESHOLDS) if settings.cut_faces else None

    def detect(self, image: ImageArray) -> list[Detection]:
        """Return the faces of one (H, W, 3) uint8 RGB picture, by descending score.

        Boxes and landmarks of cut faces may lie partly outside the picture. Raises PictureError("detector_failed")
        when the networks cannot process the picture.
        """
        found: list[Detection] = []
        for faces in self._passes(image):
            found += _others(faces, found)
        return sorted(self._look_again(image, found), key=lambda face: (-face.score, face.box))

    def detect_every(self, image: ImageArray, excused: Excused | None = None) -> list[Detection]:
        """Return what every search found, also where several found the same face: nothing hides behind a neighbour.

        For checks of a picture that is to be released; arguments and errors as of `detect`. Regions that are `excused`
        are not looked at closely: what lies there may be missing from the answer.
        """
        return [face for faces in self._passes(image, excused) for face in faces]

    def _passes(self, image: ImageArray, excused: Excused | None = None) -> Iterator[list[Detection]]:
        plain, close = self._look(_pad_small(image), [self._plain, self._close], excused)
        yield close
        yield plain
        if self._cut is not None:
            yield self._cut_faces(image, self._cut, excused)

    def _look(self, image: ImageArray, searches: list[Search], excused: Excused | None = None) -> list[list[Detection]]:
        try:
            found = self._cascade.find(image, searches, excused)
        except (RuntimeError, ValueError, IndexError) as error:
            raise PictureError("detector_failed", f"MTCNN could not process the picture: {error}") from error
        return [[f for f in faces if f.box[2] - f.box[0] >= 1 and f.box[3] - f.box[1] >= 1] for faces in found]

    def _cut_faces(self, image: ImageArray, search: Search, excused: Excused | None) -> list[Detection]:
        """Faces that the border cuts, found in a smaller copy with mirrored margins."""
        height, width = image.shape[:2]
        window = mirrored(image)

        def unneeded(regions: np.ndarray) -> np.ndarray:
            boxes = window.to_picture(regions.reshape(-1, 2, 2)).reshape(-1, 4)
            whole = lie_inside(boxes, height, width)
            return whole if excused is None else whole | excused(boxes)

        found = [window.face(face) for face in self._look(_pad_small(window.pixels), [search], unneeded)[0]]
        # Wholly inside: the first search's business; outside: a mirror image.
        return [face for face in found if _INSIDE <= share_inside(face.box, height, width) < 1.0]

    def _look_again(self, image: ImageArray, faces: list[Detection]) -> list[Detection]:
        """The same faces, those at the border where they are seen with the picture carried on beyond it."""
        placed = list(faces)
        for number in [n for n in range(len(faces)) for _ in range(_ROUNDS)]:
            face = placed[number]
            if lie_inside(np.array([face.box]), *image.shape[:2])[0]:
                continue
            window = carried_on(image, face.box)
            found = [window.face(other) for other in self._look(window.pixels, [self._again])[0]]
            same = [other for other in found if overlap(other.box, face.box) >= _SAME]
            nearest = max(same, key=lambda other: iou(other.box, face.box), default=face)
            taken = [other.box for other in (*placed[:number], *placed[number + 1 :])]
            if not any(overlap(nearest.box, box) >= _ONE_PLACE for box in taken):
                placed[number] = nearest
        return placed


def _on_grid(min_face_px: int) -> float:
    """The largest face size of the pyramid that is not above `min_face_px` (or misses it by 1 %)."""
    steps = math.floor(math.log(min_face_px * 1.01 / _PLAIN_BASE_PX) / -math.log(_PYRAMID_STEP))
    return float(_PLAIN_BASE_PX * _PYRAMID_STEP**-steps)


def _others(faces: list[Detection], known: list[Detection]) -> list[Detection]:
    """The faces that are none of the known ones."""
    return [face for face in faces if not any(overlap(face.box, other.box) >= _SAME for other in known)]


def _pad_small(image: ImageArray) -> ImageArray:
    """Extend the right and bottom of a very small picture by its own border; coordinates stay valid."""
    height, width = image.shape[:2]
    if min(height, width) >= _SMALLEST_SIDE:
        return image
    return np.pad(
        image, ((0, max(0, _SMALLEST_SIDE - height)), (0, max(0, _SMALLEST_SIDE - width)), (0, 0)), mode="edge"
    )
