"""Shards for tests: any bytes under any name, and real pictures of two people."""

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cfanet.images import Picture, encode
from tests.cfanet.portraits import eileen_collins, grace_hopper

Entry = tuple[str, bytes, Mapping[str, Any] | None]


def write_shard(path: Path, entries: Sequence[Entry]) -> Path:
    """Write `<key>.jpg` and, where there are labels, `<key>.json`."""
    with tarfile.open(path, "w") as tar:
        for key, data, labels in entries:
            parts = [(f"{key}.jpg", data)] + ([(f"{key}.json", json.dumps(labels).encode())] if labels else [])
            for name, content in parts:
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return path


def portrait_entries() -> list[Entry]:
    """Three pictures each of two people, 256 px, which differ in light and place."""
    entries: list[Entry] = []
    for person, picture in (("hopper", grace_hopper()[:512]), ("collins", eileen_collins()[:360, 60:420])):
        for number, (shift, gain) in enumerate([(0, 1.0), (12, 0.8), (24, 1.15)]):
            cut = Image.fromarray(picture).crop((shift, 0, len(picture) + shift - 24, len(picture))).resize((256, 256))
            pixels = (np.asarray(cut, dtype=np.float32) * gain).clip(0, 255).astype(np.uint8)
            entries.append((f"{person}_{number}", encode(Picture(pixels, "JPEG"), 95), {"identity": person}))
    return entries


PAIRS = (
    "fold,left,right,same\n"
    "0,hopper_0,hopper_1,1\n0,collins_0,collins_1,1\n0,hopper_0,collins_1,0\n"
    "1,hopper_0,hopper_2,1\n1,collins_1,collins_2,1\n1,hopper_1,collins_0,0\n"
)
