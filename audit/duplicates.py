"""Raw copies: a picture in the output that shows an original's untouched face, whatever its size or format.

A 64-bit difference hash of the whole picture finds candidates; the fine structure of the face's own pixels decides.
Crops that cut away more than a margin, turns and mirrored copies have another hash and are not found.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from audit.gallery import shard_paths
from audit.records import EnrolledPicture
from cfanet.records import ImageArray
from cfanet.structure import face_patch, patch_correlation

_MAX_BITS = 10  # of 64; re-encoded and scaled copies differ in 0 to 5, unrelated pictures in about 32
_MAX_CANDIDATES = 64  # the nearest by hash: in a film thousands of frames are alike, and any of them shows the face


@dataclass(frozen=True)
class Duplicate:
    """An original whose face is in a picture of the output."""

    reference_id: str
    correlation: float


def fingerprint(image: ImageArray) -> int:
    """64-bit difference hash (brightness falls or rises between neighbours) of (H, W, 3) uint8 RGB."""
    small = np.asarray(Image.fromarray(image).convert("L").resize((9, 8), Image.Resampling.BOX), dtype=np.int16)
    bits = (small[:, 1:] > small[:, :-1]).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def read_fingerprints(gallery_dir: Path) -> list[tuple[str, str, int]]:
    """Shard, sample key and perceptual hash of every picture that shows a face."""
    root, found = gallery_dir / "shards", []
    for path in shard_paths(gallery_dir):
        if "fingerprint" not in pq.read_schema(path).names:
            continue
        shard = path.relative_to(root).as_posix().removesuffix(".parquet")
        rows = pq.read_table(path, columns=["sample_key", "face_index", "fingerprint"]).to_pylist()
        found += [(shard, r["sample_key"], r["fingerprint"]) for r in rows if r["face_index"] == 0]
    return found


class Originals:
    """Fingerprints of all originals with faces; their patches are read when they are needed."""

    def __init__(
        self,
        entries: Sequence[tuple[str, str, int]],
        read: Callable[[str], list[EnrolledPicture]],
        correlation: float,
        left_correlation: float = 0.96,
    ) -> None:
        """Search the pictures of `read_fingerprints`; `read` fetches an enrolled shard by name.

        Faces from `correlation` on are the same pixels; in their own picture from `left_correlation` on.
        """
        self._correlation, self._left_correlation = correlation, left_correlation
        self._places = [(shard, key) for shard, key, _ in entries]
        self._shard_of = {key: shard for shard, key, _ in entries}
        self._hash_of = {key: np.uint64(value) for _, key, value in entries}
        self._hashes = np.array([value for _, _, value in entries], dtype=np.uint64)
        self._shard = lru_cache(maxsize=4)(lambda name: {p.sample_key: p for p in read(name)})

    def find(self, image: ImageArray, own_key: str = "") -> list[Duplicate]:
        """Originals other than `own_key` whose face is, untouched, in (H, W, 3) uint8 RGB.

        A twin, an original that looks like the picture's own, is compared as its own is: nothing was shrunk, and new
        faces in the same place come near the limit that holds for copies of any size.
        """
        if not len(self._hashes):
            return []
        own = self._hash_of.get(own_key)
        distance = np.bitwise_count(self._hashes ^ np.uint64(fingerprint(image)))
        found: list[Duplicate] = []
        near = np.flatnonzero(distance <= _MAX_BITS)
        for position in near[np.argsort(distance[near], kind="stable")][:_MAX_CANDIDATES]:
            shard, key = self._places[position]
            if key != own_key:
                twin = own is not None and int(own ^ self._hashes[position]).bit_count() <= _MAX_BITS
                limit = self._left_correlation if twin else self._correlation
                same = self._same_faces(image, self._shard(shard)[key])
                found += [face for face in same if face.correlation >= limit]
        return found

    def left(self, image: ImageArray, own_key: str) -> list[Duplicate]:
        """Faces of the original `own_key` that are still, untouched, where they were in (H, W, 3) uint8 RGB.

        Brighter, blurred a little or encoded again, their fine structure gives them away where pixels differ.
        """
        shard = self._shard_of.get(own_key)
        found = [] if shard is None else self._same_faces(image, self._shard(shard)[own_key])
        return [face for face in found if face.correlation >= self._left_correlation]

    def _same_faces(self, image: ImageArray, original: EnrolledPicture) -> Sequence[Duplicate]:
        found = []
        scale_x, scale_y = image.shape[1] / max(original.width, 1), image.shape[0] / max(original.height, 1)
        for face in original.faces:
            x1, y1, x2, y2 = face.detection.box
            box = (x1 * scale_x, y1 * scale_y, x2 * scale_x, y2 * scale_y)
            width = min(x2 - x1, box[2] - box[0])  # of the smaller face: no more is known of both
            correlation = patch_correlation(face.patch, face_patch(image, box), width)
            if correlation is not None and correlation >= self._correlation:
                found.append(Duplicate(face.reference_id, correlation))
        return found
