"""Face detection: MTCNN (Zhang et al., 2016) through facenet-pytorch, tuned to miss as little as it can.

Three passes. The first looks closely at the picture as it is. The second looks with MTCNN as facenet-pytorch sets it
up: with more candidates in the first stages another one of them is kept, sometimes one that the last stage likes less,
so a wider search does not find everything that a narrower one finds. The third looks for faces that the picture's
border cuts: at a smaller copy with its margins mirrored outwards, where half a face becomes a whole one. What they
cost and find is in docs/LOG.md.
"""

import math
from collections.abc import Iterator
from typing import cast

import numpy as np
import torch
from facenet_pytorch import MTCNN
from PIL import Image

from cfanet.config import DetectorSettings
from cfanet.errors import PictureError
from cfanet.records import Box, Detection, ImageArray

# P-Net's and R-Net's thresholds; the original's 0.6 and 0.7 miss some faces of 12 px. The last comes from the settings.
_STAGE_THRESHOLDS = (0.5, 0.5)
_PLAIN_THRESHOLDS = (0.6, 0.7, 0.7)  # facenet-pytorch's own
# Sizes looked at: twice as close together as the original's, and a superset of them (20 px and up by steps of 0.709).
_PYRAMID_STEP = math.sqrt(0.709)
_PYRAMID_BASE_PX = 20.0
# P-Net looks at 12-pixel windows, so a picture with a shorter side is enlarged by its border first.
_SMALLEST_SIDE = 24
_CUT_SIDE = 128  # longer side of the copy in which cut faces are looked for
_CUT_MARGIN = 0.25  # share of that side mirrored outwards on every edge
_CUT_FACE_PX = 24  # smallest face looked for in that copy
_CUT_THRESHOLDS = (0.7, 0.7, 0.8)  # mirrored margins also make faces out of what is none
_INSIDE = 0.2  # share of a cut face's box that must lie in the picture
_SAME = 0.4  # overlap, as a share of the smaller box, from which two boxes are one face


class MTCNNDetector:
    """Finds all faces of a picture, one picture at a time, so that a result never depends on its neighbours."""

    name = "mtcnn"

    def __init__(self, settings: DetectorSettings, device: torch.device | str = "cpu") -> None:
        """Load the three networks, which come with facenet-pytorch."""
        self._mtcnn = _networks(settings.min_face_px, (*_STAGE_THRESHOLDS, settings.score), device)
        # Whoever runs MTCNN as it comes on a released picture must find no face that was not found here.
        plain = [*_PLAIN_THRESHOLDS[:2], max(_PLAIN_THRESHOLDS[2], settings.score)]
        self._mtcnn_plain = MTCNN(keep_all=True, thresholds=plain, post_process=False, device=device).eval()
        self._mtcnn_cut = _networks(_CUT_FACE_PX, _CUT_THRESHOLDS, device) if settings.cut_faces else None

    @torch.inference_mode()
    def detect(self, image: ImageArray) -> list[Detection]:
        """Return the faces of one (H, W, 3) uint8 RGB picture, by descending score.

        Boxes and landmarks of cut faces may lie partly outside the picture. Raises PictureError("detector_failed")
        when the networks cannot process the picture.
        """
        found: list[Detection] = []
        for faces in self._passes(image):
            found += _others(faces, found)
        return sorted(found, key=lambda face: (-face.score, face.box))

    @torch.inference_mode()
    def detect_every(self, image: ImageArray) -> list[Detection]:
        """Return what every pass found, also where passes found the same face: nothing hides behind a neighbour.

        For checks of a picture that is to be released; arguments and errors as of `detect`.
        """
        return [face for faces in self._passes(image) for face in faces]

    def _passes(self, image: ImageArray) -> Iterator[list[Detection]]:
        padded = _pad_small(image)
        yield _look(self._mtcnn, padded)
        yield _look(self._mtcnn_plain, padded)
        if self._mtcnn_cut is not None:
            yield self._cut_faces(image)

    def _cut_faces(self, image: ImageArray) -> list[Detection]:
        """Faces that the border cuts, found in a smaller copy with mirrored margins."""
        height, width = image.shape[:2]
        scale = min(1.0, _CUT_SIDE / max(height, width))
        size = (max(2, round(width * scale)), max(2, round(height * scale)))
        small = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
        margin_x, margin_y = (min(round(_CUT_MARGIN * max(size)), side - 1) for side in size)
        mirrored = np.pad(small, ((margin_y, margin_y), (margin_x, margin_x), (0, 0)), mode="reflect")
        zoom = np.array([width / size[0], height / size[1]])
        faces = []
        for face in _look(self._mtcnn_cut, _pad_small(mirrored)):
            corners = (np.array(face.box).reshape(2, 2) - (margin_x, margin_y)) * zoom
            box = cast(Box, tuple(float(value) for value in corners.ravel()))
            share = _inside(box, width, height)
            if _INSIDE <= share < 1.0:  # wholly inside: the first pass's business; outside: a mirror image
                points = ((face.landmarks - (margin_x, margin_y)) * zoom).astype(np.float32)
                faces.append(Detection(box, face.score, points))
        return faces


def _networks(min_face_px: int, thresholds: tuple[float, float, float], device: torch.device | str) -> MTCNN:
    return MTCNN(
        keep_all=True,
        min_face_size=_on_grid(min_face_px),
        factor=_PYRAMID_STEP,
        thresholds=list(thresholds),
        post_process=False,
        device=device,
    ).eval()


def _on_grid(min_face_px: int) -> float:
    """The largest face size of the pyramid that is not above `min_face_px` (or misses it by 1 %)."""
    steps = math.floor(math.log(min_face_px * 1.01 / _PYRAMID_BASE_PX) / -math.log(_PYRAMID_STEP))
    return float(_PYRAMID_BASE_PX * _PYRAMID_STEP**-steps)


def _look(networks: MTCNN, image: ImageArray) -> list[Detection]:
    try:
        boxes, scores, points = networks.detect(image, landmarks=True)
    except (RuntimeError, ValueError, IndexError) as error:
        raise PictureError("detector_failed", f"MTCNN could not process the picture: {error}") from error
    if boxes is None:
        return []
    return [
        Detection(cast(Box, tuple(float(v) for v in box)), float(score), np.asarray(five, dtype=np.float32))
        for box, score, five in zip(boxes, scores, points, strict=True)
        if box[2] - box[0] >= 1 and box[3] - box[1] >= 1
    ]


def _inside(box: Box, width: int, height: int) -> float:
    """Share of a box that lies in the picture."""
    seen_x = max(0.0, min(box[2], width) - max(box[0], 0.0))
    seen_y = max(0.0, min(box[3], height) - max(box[1], 0.0))
    return seen_x * seen_y / ((box[2] - box[0]) * (box[3] - box[1]))


def _others(faces: list[Detection], known: list[Detection]) -> list[Detection]:
    """The faces that are none of the known ones."""
    return [face for face in faces if not any(_overlap(face, other) for other in known)]


def _overlap(one: Detection, two: Detection) -> bool:
    width = min(one.box[2], two.box[2]) - max(one.box[0], two.box[0])
    height = min(one.box[3], two.box[3]) - max(one.box[1], two.box[1])
    smaller = min((b[2] - b[0]) * (b[3] - b[1]) for b in (one.box, two.box))
    return max(0.0, width) * max(0.0, height) >= _SAME * smaller


def _pad_small(image: ImageArray) -> ImageArray:
    """Extend the right and bottom of a very small picture by its own border; coordinates stay valid."""
    height, width = image.shape[:2]
    if min(height, width) >= _SMALLEST_SIDE:
        return image
    return np.pad(
        image, ((0, max(0, _SMALLEST_SIDE - height)), (0, max(0, _SMALLEST_SIDE - width)), (0, 0)), mode="edge"
    )
