"""Public-domain portraits that come inside dependencies, for tests with real faces."""

from functools import cache

import numpy as np
from matplotlib import cbook
from PIL import Image
from skimage import data

from cfanet.records import ImageArray


@cache
def grace_hopper() -> ImageArray:
    """One face, about 200 px wide, in a 512 × 600 picture."""
    with cbook.get_sample_data("grace_hopper.jpg") as file:
        return np.array(Image.open(file).convert("RGB"))


@cache
def eileen_collins() -> ImageArray:
    """One face, about 100 px wide, in a 512 × 512 picture."""
    return np.array(data.astronaut())


@cache
def profile() -> ImageArray:
    """One face from the side, about 60 px wide and half behind a camera, in a 300 × 300 picture without colour."""
    return np.repeat(data.camera()[:300, 100:400, None], 3, axis=2)


def side_by_side() -> ImageArray:
    """Both, in one 512 × 1024 picture."""
    return np.concatenate([grace_hopper()[:512], eileen_collins()], axis=1)


def no_face() -> ImageArray:
    """Coffee."""
    return np.array(data.coffee())
