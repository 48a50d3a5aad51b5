"""Portraits in the public domain that other packages bring: what documents may show, and what detectors are named by.

NASA's of Eileen Collins (scikit-image) and the US Navy's of Grace Hopper (Matplotlib).
"""

from functools import cache
from pathlib import Path

import numpy as np
from matplotlib import get_data_path
from PIL import Image
from skimage import data

from cfanet.records import ImageArray


@cache
def collins() -> ImageArray:
    """512 × 512, one face of about 100 px."""
    return np.array(data.astronaut())


@cache
def hopper() -> ImageArray:
    """512 × 600, one face of about 200 px."""
    file = Path(get_data_path(), "sample_data", "grace_hopper.jpg")
    return np.array(Image.open(file).convert("RGB"))


@cache
def many_faces() -> ImageArray:
    """One face at several sizes, tilted, dark and cut by the border; (260, 520, 3)."""
    base = Image.fromarray(collins()[:260, 110:370])
    canvas = Image.new("RGB", (520, 260), (120, 110, 100))
    canvas.paste(base, (0, 0))
    canvas.paste(base.resize((130, 130)).rotate(30), (260, 0))
    canvas.paste(base.resize((65, 65)), (260, 130))
    canvas.paste(base.resize((40, 40)), (330, 130))
    canvas.paste(base.resize((110, 110)).point(lambda value: value // 4), (260, 195))
    canvas.paste(base.crop((0, 0, 130, 260)), (390, 0))
    return np.array(canvas)
