"""The pictures of a tar, one after the other, for benchmarks that need no more of it."""

import io
import tarfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from cfanet.records import ImageArray


def tar_pictures(file: Path, every: int = 1) -> Iterator[tuple[str, ImageArray]]:
    """(name, pixels) of each `every`-th JPEG of a tar; pixels (H, W, 3) uint8 RGB."""
    with tarfile.open(file) as tar:
        for member in islice((entry for entry in tar if entry.name.endswith(".jpg")), 0, None, every):
            data = tar.extractfile(member)
            assert data is not None
            yield member.name, np.array(Image.open(io.BytesIO(data.read())).convert("RGB"))
