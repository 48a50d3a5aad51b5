"""Arrays that commands of training are given: named fields of an .npz, or one sentence that says what is wrong."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cfanet.errors import InputError

LANDMARK_FINDER = "a landmark finder; see docs/training.md"


def read_arrays(file: Path, fields: tuple[str, ...], maker: str) -> dict[str, npt.NDArray[Any]]:
    """The named fields of an .npz; InputError, which names its `maker`, where it has not all of them or is none."""
    try:
        with np.load(file) as stored:
            return {name: stored[name] for name in fields}
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read as .npz ({error}): it is written by {maker}") from error
    except KeyError as error:
        raise InputError(f"{file}: {error.args[0]}; {', '.join(fields)} are needed") from error
