"""What is often taken for anonymization: a blur and a pixelation of a fixed size in pixels, whatever the face's size.

cfanet does neither (`cfanet.obscure` is relative to the face and far coarser). They are here to be compared with.
"""

import numpy as np
from PIL import Image, ImageFilter

from cfanet.obscure import obscured_region
from cfanet.records import Box, ImageArray

BLUR_SIGMA_PX = 3.0
PIXELATE_PX = 8


def weak_blur(image: ImageArray, box: Box) -> ImageArray:
    """Blur the face in `box` by a Gaussian of 3 px; (H, W, 3) uint8 RGB, a copy."""
    left, top, right, bottom = obscured_region(box, image.shape[1], image.shape[0])
    result = image.copy()
    soft = Image.fromarray(image).filter(ImageFilter.GaussianBlur(BLUR_SIGMA_PX))
    result[top:bottom, left:right] = np.asarray(soft)[top:bottom, left:right]
    return result


def weak_pixelate(image: ImageArray, box: Box) -> ImageArray:
    """Show the face in `box` as means of 8 × 8 px; (H, W, 3) uint8 RGB, a copy."""
    left, top, right, bottom = obscured_region(box, image.shape[1], image.shape[0])
    result = image.copy()
    if left >= right or top >= bottom:
        return result
    region = Image.fromarray(np.ascontiguousarray(image[top:bottom, left:right]))
    blocks = (max(1, round(region.width / PIXELATE_PX)), max(1, round(region.height / PIXELATE_PX)))
    coarse = region.resize(blocks, Image.Resampling.BOX).resize(region.size, Image.Resampling.NEAREST)
    result[top:bottom, left:right] = np.asarray(coarse)
    return result
