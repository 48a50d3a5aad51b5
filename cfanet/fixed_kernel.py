"""Blur and pixelation as many tools do them: a kernel of so many pixels inside the face box, whatever the face's size.

For comparison only: on a large face such a kernel leaves the person recognizable, and a Gaussian alone can be undone.
What the product uses is `cfanet.obscure`.
"""

from typing import Literal

import numpy as np
from PIL import Image, ImageFilter

from cfanet.records import Box, ImageArray

FixedKind = Literal["fixed-blur", "fixed-pixelate"]


def fixed_kernel(image: ImageArray, box: Box, kind: FixedKind, kernel_px: int) -> ImageArray:
    """A copy of an (H, W, 3) uint8 RGB picture with the xyxy box blurred or pixelated, and nothing else changed.

    `fixed-blur`: a Gaussian of `kernel_px`, its σ as OpenCV derives it. `fixed-pixelate`: blocks of `kernel_px`.
    """
    height, width = image.shape[:2]
    left, right = (int(np.clip(round(value), 0, width)) for value in (box[0], box[2]))
    top, bottom = (int(np.clip(round(value), 0, height)) for value in (box[1], box[3]))
    result = image.copy()
    if left >= right or top >= bottom:
        return result
    if kind == "fixed-blur":
        sigma = 0.3 * ((kernel_px - 1) * 0.5 - 1) + 0.8
        cover = Image.fromarray(image).filter(ImageFilter.GaussianBlur(sigma)).crop((left, top, right, bottom))
    else:
        blocks = max(1, round((right - left) / kernel_px)), max(1, round((bottom - top) / kernel_px))
        region = Image.fromarray(np.ascontiguousarray(image[top:bottom, left:right]))
        cover = region.resize(blocks, Image.Resampling.BOX).resize(region.size, Image.Resampling.NEAREST)
    result[top:bottom, left:right] = np.asarray(cover)
    return result
