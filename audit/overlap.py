"""Which faces of ledger, gallery and second detector are the same, and did they change?"""

from collections.abc import Sequence

import numpy as np

from audit.records import EnrolledFace
from cfanet.boxes import area, intersection, iou
from cfanet.records import Box, FaceRecord, ImageArray

_SAME_FACE_IOU = 0.3
_COVERED_SHARE = 0.3


def covered(box: Box, regions: Sequence[Box]) -> bool:
    """True when one region holds the box's centre or at least 30 % of its area."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    for region in regions:
        if region[0] <= x <= region[2] and region[1] <= y <= region[3]:
            return True
        if intersection(box, region) >= _COVERED_SHARE * area(box) > 0.0:
            return True
    return False


def assign(
    records: Sequence[FaceRecord], enrolled: Sequence[EnrolledFace]
) -> tuple[list[tuple[FaceRecord, EnrolledFace | None]], list[EnrolledFace]]:
    """Pair ledger rows with enrolled faces by overlap, best first; each is used once.

    Returns every ledger row with its enrolled face or None, and the enrolled faces that no row covers.
    """
    candidates = sorted(
        (
            (-iou(record.box, face.detection.box), record.face_index != face.face_index, i, j)
            for i, record in enumerate(records)
            for j, face in enumerate(enrolled)
        ),
    )
    of_record: dict[int, int] = {}
    for negative_iou, _, i, j in candidates:
        if -negative_iou >= _SAME_FACE_IOU and i not in of_record and j not in of_record.values():
            of_record[i] = j
    pairs = [(record, enrolled[of_record[i]] if i in of_record else None) for i, record in enumerate(records)]
    taken = set(of_record.values())
    return pairs, [face for j, face in enumerate(enrolled) if j not in taken]


def pixel_change(original: ImageArray, released: ImageArray, box: Box) -> float:
    """Mean absolute difference, in grey levels, inside the part of a box that lies in the picture.

    Both (H, W, 3) uint8 RGB of one size. A box wholly outside the picture has changed by 0.
    """
    height, width = original.shape[:2]
    x1, x2 = (int(np.clip(round(v), 0, width)) for v in (box[0], box[2]))
    y1, y2 = (int(np.clip(round(v), 0, height)) for v in (box[1], box[3]))
    if x1 >= x2 or y1 >= y2:
        return 0.0
    before, after = original[y1:y2, x1:x2].astype(np.int16), released[y1:y2, x1:x2].astype(np.int16)
    return float(np.abs(before - after).mean())
