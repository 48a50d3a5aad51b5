"""A picture continued beyond its border, where a face that the border cuts becomes a whole one.

Two ways. With its margins mirrored, half a face becomes two halves. With its outermost pixels carried on, what is
missing is nothing, but what is there lies where it lies: the better place to look from where a face is, once it is
known to be one.
"""

from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from cfanet.align import warp
from cfanet.records import Box, Detection, ImageArray

Points = npt.NDArray[np.float64]

_MIRRORED_SIDE = 128  # longer side of the copy that is mirrored outwards
_MARGIN = 0.25  # share of that side mirrored on every edge
_CARRIED_ON_SIDE = 128  # pixels of a square around one face
_AROUND = 1.6  # its side, in sides of the face's box
_SURELY = 0.1  # of a region's side: how far inside the picture it must lie for no face in it to be cut


@dataclass(frozen=True, eq=False)
class Window:
    """A view of a picture that reaches beyond its border."""

    pixels: ImageArray  # (h, w, 3) uint8 RGB
    origin: Points  # (2,) where its upper left corner lies in the picture
    zoom: Points  # (2,) pixels of the picture that one of its pixels takes, across and down

    def to_picture(self, points: npt.NDArray[np.floating]) -> Points:
        """Where (..., 2) points of the window lie in the picture, (..., 2)."""
        return points * self.zoom + self.origin

    def face(self, found: Detection) -> Detection:
        """A face found in the window as one of the picture."""
        corners = self.to_picture(np.array(found.box).reshape(2, 2)).ravel()
        box = cast(Box, tuple(float(value) for value in corners))
        return Detection(box, found.score, self.to_picture(found.landmarks).astype(np.float32))


def mirrored(image: ImageArray) -> Window:
    """A copy of at most 128 px, a quarter of its longer side mirrored outwards on every edge."""
    height, width = image.shape[:2]
    scale = min(1.0, _MIRRORED_SIDE / max(height, width))
    size = (max(2, round(width * scale)), max(2, round(height * scale)))
    small = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
    across, down = (min(round(_MARGIN * max(size)), side - 1) for side in size)
    pixels = np.pad(small, ((down, down), (across, across), (0, 0)), mode="reflect")
    zoom = np.array([width / size[0], height / size[1]])
    return Window(pixels, -zoom * (across, down), zoom)


def carried_on(image: ImageArray, box: Box) -> Window:
    """A square of 128 px about a box, 1.6 times its longer side; beyond the border its outermost pixels repeat."""
    middle = np.array([box[0] + box[2], box[1] + box[3]]) / 2.0
    side = _AROUND * max(box[2] - box[0], box[3] - box[1])
    zoom, origin = side / _CARRIED_ON_SIDE, middle - side / 2.0
    # Places are counted from corners, and by `warp` from the middles of pixels.
    onto = np.array([[1.0, 0.0, 0.5 - origin[0]], [0.0, 1.0, 0.5 - origin[1]]]) / zoom
    onto[:, 2] -= 0.5
    seen = warp(image, onto, (_CARRIED_ON_SIDE, _CARRIED_ON_SIDE))[0].permute(1, 2, 0).numpy()
    pixels = np.clip(np.rint((seen + 1.0) * 127.5), 0, 255).astype(np.uint8)
    return Window(pixels, origin, np.array([zoom, zoom]))


def lie_inside(boxes: npt.NDArray[np.floating], height: int, width: int) -> npt.NDArray[np.bool_]:
    """Which (N, 4) boxes lie so far inside the picture that no face in them is cut by its border, (N,)."""
    near = _SURELY * (boxes[:, 2:] - boxes[:, :2])
    inside = (boxes[:, :2] >= near) & (boxes[:, 2:] <= np.array([width, height]) - near)
    return np.asarray(inside.all(axis=1))
