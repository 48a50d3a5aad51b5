"""68 landmarks of dlib, and what they say of expression and pose.

For evaluation only: the predictor's training data, iBUG 300-W, excludes commercial use. Nothing of the product uses it.
"""

from functools import cache
from pathlib import Path

import dlib
import face_recognition_models
import numpy as np
import numpy.typing as npt

from cfanet.records import Box, ImageArray

Points = npt.NDArray[np.float64]
"""(68, 2) pixels (x, y), in iBUG's order."""
LICENCE = "dlib's 68-point predictor (trained on iBUG 300-W, no commercial use): evaluation only"

# dlib's own detector's square relative to MTCNN's box, in heights of that box: medians of 58 pictures of CelebA.
_DOWN, _SIDE = 0.059, 0.821
RIGHT_EYE, LEFT_EYE = slice(36, 42), slice(42, 48)  # the subject's right eye is on the left of the picture
_CHEEKS = (((2, 31, 48), (36, 39)), ((14, 35, 54), (42, 45)))
# A widely used generic head, scale-free: nose tip, chin, outer eye corners, mouth corners; x to the
# right of the picture, y down, z away from the camera.
_HEAD_POINTS = (30, 8, 36, 45, 48, 54)
_HEAD = np.array(
    [[0, 0, 0], [0, 330, 65], [-225, -170, 135], [225, -170, 135], [-150, 150, 125], [150, 150, 125]], dtype=np.float64
)


def _apart(one: npt.NDArray[np.float64], two: npt.NDArray[np.float64]) -> float:
    """Distance of two points, never quite zero."""
    return max(float(np.linalg.norm(one - two)), 1e-9)


def landmarks68(image: ImageArray, box: Box) -> Points:
    """Predict the 68 points of the face in an MTCNN box (xyxy); (H, W, 3) uint8 RGB → (68, 2)."""
    height = box[3] - box[1]
    half = _SIDE * height / 2
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2 + _DOWN * height
    square = dlib.rectangle(round(x - half), round(y - half), round(x + half), round(y + half))
    shape = _predictor()(np.ascontiguousarray(image), square)
    return np.array([[part.x, part.y] for part in shape.parts()], dtype=np.float64)


def mouth_opening(points: Points) -> float:
    """Distance of the inner lips over the inner width of the mouth: 0 when closed."""
    gaps = np.linalg.norm(points[[61, 62, 63]] - points[[67, 66, 65]], axis=1)
    return float(gaps.mean()) / _apart(points[60], points[64])


def eye_opening(points: Points) -> float:
    """Eye aspect ratio (Soukupová and Čech, 2016), mean of both eyes."""
    ratios = []
    for eye in (points[RIGHT_EYE], points[LEFT_EYE]):
        lids = _apart(eye[1], eye[5]) + _apart(eye[2], eye[4])
        ratios.append(lids / (2.0 * _apart(eye[0], eye[3])))
    return float(np.mean(ratios))


def smile(points: Points) -> float:
    """Width of the mouth over the distance of the outer eye corners: a smile draws the corners apart."""
    return _apart(points[48], points[54]) / _apart(points[36], points[45])


def corner_lift(points: Points) -> float:
    """How far the mouth's corners lie above its middle, over the distance of the outer eye corners; roll removed."""
    across, width = points[45] - points[36], _apart(points[36], points[45])
    down = np.array([-across[1], across[0]]) / width
    middle = points[[51, 57, 62, 66]].mean(axis=0)
    corners = points[[48, 54]].mean(axis=0)
    return float((middle - corners) @ down) / width


def head_pose_deg(points: Points) -> tuple[float, float, float]:
    """(yaw, pitch, roll) in degrees from six points and a generic head, by scaled orthography.

    Yaw is positive when the face turns to the right of the picture, pitch when it looks down, roll when it tilts
    clockwise. A person's own proportions shift all of them, so compare poses; do not read one.
    """
    flat = points[list(_HEAD_POINTS)] - points[list(_HEAD_POINTS)].mean(axis=0)
    head = _HEAD - _HEAD.mean(axis=0)
    rows = np.linalg.lstsq(head, flat, rcond=None)[0].T  # (2, 3): scale times the first two rows of a rotation
    u, _, vt = np.linalg.svd(rows, full_matrices=False)
    first, second = u @ vt  # the nearest orthonormal pair
    third = np.cross(first, second)
    # The rotation is roll · pitch · yaw: yaw is applied to the head first.
    yaw = np.degrees(np.arctan2(third[0], third[2]))
    pitch = np.degrees(np.arctan2(third[1], np.hypot(third[0], third[2])))
    roll = np.degrees(np.arctan2(-first[1], second[1]))
    return float(yaw), float(pitch), float(roll)


def cheeks(points: Points) -> list[Box]:
    """A square on each cheek, xyxy: between nose, mouth corner and eye, where skin is seldom covered."""
    eyes = float(np.linalg.norm(points[36] - points[45]))
    half = 0.09 * eyes
    boxes: list[Box] = []
    for outline, lids in _CHEEKS:
        x, y = (points[list(outline)].mean(axis=0) + points[list(lids)].mean(axis=0)) / 2
        boxes.append((float(x - half), float(y - half), float(x + half), float(y + half)))
    return boxes


@cache
def _predictor() -> dlib.shape_predictor:
    return dlib.shape_predictor(str(Path(face_recognition_models.pose_predictor_model_location())))
