"""Kinds of faces: by size, pose and detector score, and by whatever label the owner supplies.

A low overall rate can hide a high one. Every face is put into one group per dimension, and rates are taken by group.
"""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from cfanet.boxes import share_inside
from cfanet.records import Box, Landmarks

_SIZES_PX = (24, 48, 96, 192)
_YAW_FRONTAL, _YAW_PROFILE = 0.15, 0.40
_SCORES = (0.9, 0.99)
_INSIDE = (0.5, 0.8)
MAX_LABEL_CHARS = 40
SECOND_DETECTOR = "second detector"
"""Dimension that says whether the second detector sees the face in the original."""


def strata_of(
    box: Box,
    picture: tuple[int, int],
    score: float | None,
    landmarks: Landmarks | None,
    labels: Mapping[str, str],
) -> dict[str, str]:
    """The groups of one face: size in pixels, share that lies in the picture of that many rows and columns, pose from
    its five points (5, 2), detector score, owner's labels.
    """
    found = {"size": _between(min(box[2] - box[0], box[3] - box[1]), _SIZES_PX, " px")}
    found["share in the picture"] = _between(share_inside(box, *picture), _INSIDE, "")
    if landmarks is not None:
        found["pose"] = pose_of(landmarks)
    if score is not None:
        found["score"] = _between(score, _SCORES, "")
    return found | {f"label:{name}": value[:MAX_LABEL_CHARS] for name, value in labels.items() if value}


def pose_of(landmarks: Landmarks) -> str:
    """Say "frontal", "turned" or "profile", from where the nose lies between the eyes; (5, 2) pixels.

    In a frontal face the nose projects onto the middle of the line through the eyes; `asymmetry` is its distance from
    there in units of the eyes' distance. It is a proxy of yaw, not an angle.
    """
    left, right, nose = (landmarks[i].astype(np.float64) for i in range(3))
    across = right - left
    length = float(across @ across)
    if length < 1.0:
        return "profile"  # the eyes coincide
    asymmetry = abs(float((nose - (left + right) / 2) @ across) / length)
    if asymmetry < _YAW_FRONTAL:
        return "frontal"
    return "turned" if asymmetry < _YAW_PROFILE else "profile"


def _between(value: float, edges: tuple[float, ...], unit: str) -> str:
    """The half-open interval of `edges` that holds the value, in words."""
    if value < edges[0]:
        return f"below {edges[0]:g}{unit}"
    for low, high in pairwise(edges):
        if value < high:
            return f"{low:g} to {high:g}{unit}"
    return f"{edges[-1]:g}{unit} or more"
