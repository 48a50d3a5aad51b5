"""Face detection: MTCNN (Zhang et al., 2016) through facenet-pytorch, tuned to miss as little as it can."""

from typing import cast

import numpy as np
import torch
from facenet_pytorch import MTCNN

from cfanet.config import DetectorSettings
from cfanet.errors import PictureError
from cfanet.records import Box, Detection, ImageArray

# P-Net and R-Net thresholds of the original implementation; the last stage's comes from the settings.
_STAGE_THRESHOLDS = (0.6, 0.7)
# P-Net looks at 12-pixel windows, so a picture with a shorter side is enlarged by a border first.
_SMALLEST_SIDE = 24


class MTCNNDetector:
    """Finds all faces of a picture, one picture at a time, so that a result never depends on its neighbours."""

    name = "mtcnn"

    def __init__(self, settings: DetectorSettings, device: torch.device | str = "cpu") -> None:
        """Load the three networks, which come with facenet-pytorch."""
        self._mtcnn = MTCNN(
            keep_all=True,
            min_face_size=settings.min_face_px,
            thresholds=[*_STAGE_THRESHOLDS, settings.score],
            post_process=False,
            device=device,
        ).eval()

    @torch.inference_mode()
    def detect(self, image: ImageArray) -> list[Detection]:
        """Return the faces of one (H, W, 3) uint8 RGB picture, by descending score.

        Raises PictureError("detector_failed") when the networks cannot process the picture.
        """
        padded = _pad_small(image)
        try:
            boxes, scores, points = self._mtcnn.detect(padded, landmarks=True)
        except (RuntimeError, ValueError, IndexError) as error:
            raise PictureError("detector_failed", f"MTCNN could not process the picture: {error}") from error
        if boxes is None:
            return []
        found = [
            Detection(cast(Box, tuple(float(v) for v in box)), float(score), np.asarray(five, dtype=np.float32))
            for box, score, five in zip(boxes, scores, points, strict=True)
            if box[2] - box[0] >= 1 and box[3] - box[1] >= 1
        ]
        return sorted(found, key=lambda face: (-face.score, face.box))


def _pad_small(image: ImageArray) -> ImageArray:
    """Extend the right and bottom of a very small picture by its own border; coordinates stay valid."""
    height, width = image.shape[:2]
    if min(height, width) >= _SMALLEST_SIDE:
        return image
    return np.pad(
        image, ((0, max(0, _SMALLEST_SIDE - height)), (0, max(0, _SMALLEST_SIDE - width)), (0, 0)), mode="edge"
    )
