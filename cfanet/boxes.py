"""Boxes (x1, y1, x2, y2) in pixels: how large, how much of one lies in another or in the picture."""

from cfanet.records import Box


def area(box: Box) -> float:
    """Area of a box, square pixels; 0 for an empty one."""
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)


def intersection(a: Box, b: Box) -> float:
    """Area that two boxes share, square pixels."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0.0) * max(height, 0.0)


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, in [0, 1]."""
    shared = intersection(a, b)
    return shared / (area(a) + area(b) - shared) if shared else 0.0


def overlap(a: Box, b: Box) -> float:
    """Common area of two boxes as a share of the smaller one, in [0, 1]."""
    shared = intersection(a, b)
    return shared / min(area(a), area(b)) if shared else 0.0


def share_inside(box: Box, height: int, width: int) -> float:
    """Share of a box that lies in a picture of that many rows and columns, in [0, 1]; 0 for an empty box."""
    shared = intersection(box, (0.0, 0.0, float(width), float(height)))
    return shared / area(box) if shared else 0.0
