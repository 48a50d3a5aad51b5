"""How steady a face is from frame to frame: identity, place, brightness. Pure functions on one track."""

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cfanet.align import crop_points, similarity_transform, warp
from cfanet.records import Box, Embeddings, ImageArray, Landmarks

_CROP = 64  # pixels of the aligned crops that are compared


def consecutive_similarity(embeddings: Embeddings) -> float:
    """Mean cosine of neighbouring rows; (n, d) unit-norm, n ≥ 2."""
    return float((embeddings[1:].astype(np.float64) * embeddings[:-1]).sum(1).mean())


def similarity_to_mean(embeddings: Embeddings) -> float:
    """Mean cosine of the rows with their mean direction; (n, d) unit-norm."""
    centre = embeddings.astype(np.float64).mean(0)
    return float((embeddings @ (centre / max(float(np.linalg.norm(centre)), 1e-12))).mean())


def jitter(landmarks: Sequence[Landmarks], widths: Sequence[float]) -> float:
    """Root mean square of the landmarks' second difference, in per cent of the face's width; n ≥ 3 frames.

    A face that moves evenly has none.
    """
    points = np.stack([five.astype(np.float64) for five in landmarks])
    second = points[2:] - 2.0 * points[1:-1] + points[:-2]
    relative = second / np.asarray(widths, dtype=np.float64)[1:-1, None, None]
    return float(100.0 * np.sqrt((relative**2).sum(-1).mean()))


def flicker(luminances: Sequence[float]) -> float:
    """Mean absolute change of the face's mean brightness from frame to frame, in grey levels."""
    return float(np.abs(np.diff(np.asarray(luminances, dtype=np.float64))).mean())


def restlessness(crops: Sequence[npt.NDArray[np.floating]]) -> float:
    """Mean absolute change of the aligned face's pixels from frame to frame, in grey levels; crops of one shape."""
    return float(np.mean([np.abs(b - a).mean() for a, b in itertools.pairwise(crops)]))


def luminance(image: ImageArray, box: Box) -> float:
    """Mean brightness of (H, W, 3) uint8 RGB inside a box (ITU-R BT.601), grey levels."""
    height, width = image.shape[:2]
    x0, x1 = (int(np.clip(round(v), 0, width)) for v in (box[0], box[2]))
    y0, y1 = (int(np.clip(round(v), 0, height)) for v in (box[1], box[3]))
    region = image[y0:y1, x0:x1].astype(np.float64)
    return float(region.reshape(-1, 3).mean(0) @ (0.299, 0.587, 0.114)) if region.size else 0.0


def aligned(image: ImageArray, landmarks: Landmarks) -> npt.NDArray[np.float64]:
    """(64, 64, 3) grey levels of the face in (H, W, 3) uint8 RGB, turned upright by its landmarks."""
    crop = warp(image, similarity_transform(landmarks, crop_points(_CROP)), (_CROP, _CROP))
    result: npt.NDArray[np.float64] = (crop[0].permute(1, 2, 0).double().numpy() + 1.0) * 127.5
    return result
