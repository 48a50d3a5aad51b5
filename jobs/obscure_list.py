"""Faces that must be obscured whatever the loop says: named by an audit or by a person. One file a shard, in DST.

A shard was made with the list that its manifest names by digest; with another list it is not done, and made again.
"""

from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property

from pydantic import Field, ValidationError

from cfanet.boxes import iou
from cfanet.config import Section
from cfanet.errors import InputError
from cfanet.records import Box
from jobs.config import canonical_digest
from jobs.storage import PRIVATE_FOLDER, Storage, read_bytes, write_bytes

_FOLDER = f"{PRIVATE_FOLDER}/obscure"
_SAME_IOU = 0.5  # of two boxes that are taken for one face


class NamedFace(Section):
    """A face that was named: where it was when it was, since a later run may number faces otherwise."""

    box: Box
    why: str


class ObscureList(Section):
    """The named faces of one shard."""

    faces: dict[str, NamedFace] = Field(default_factory=dict)  # by PICTURE#NUMBER, as reports name faces

    @property
    def digest(self) -> str:
        """SHA-256 of the list, hex; "" for an empty one."""
        return canonical_digest(self.model_dump(mode="json")) if self.faces else ""

    @property
    def pictures(self) -> frozenset[str]:
        """Ids of the pictures, or frames, in which a face was named."""
        return frozenset(self._by_picture)

    def among(self, picture: str, boxes: Iterable[Box]) -> dict[int, str]:
        """Which of the faces of a picture, xyxy pixels each, are named ones: why, by position."""
        named = self._by_picture.get(picture, ())
        return {n: face.why for n, box in enumerate(boxes) for face in named if iou(box, face.box) >= _SAME_IOU}

    @cached_property
    def _by_picture(self) -> dict[str, list[NamedFace]]:
        found: dict[str, list[NamedFace]] = defaultdict(list)
        for face, named in self.faces.items():
            found[face.rpartition("#")[0]].append(named)
        return dict(found)


NOBODY = ObscureList()


def read_obscure_lists(destination: Storage) -> dict[str, ObscureList]:
    """The list of every shard that has one; InputError for one that cannot be read: who is on it is not known."""
    found = {}
    for entry in destination.list(_FOLDER):
        shard = entry.path.removeprefix(f"{_FOLDER}/").removesuffix(".json")
        try:
            found[shard] = ObscureList.model_validate_json(read_bytes(destination, entry.path))
        except ValidationError as error:
            raise InputError(
                f"{destination.uri}/{entry.path} is damaged: delete it, and name its faces with `cfanet obscure` again"
            ) from error
    return found


def write_obscure_list(destination: Storage, shard: str, listed: ObscureList) -> None:
    """Write the list of a shard, whole."""
    write_bytes(destination, obscure_path(shard), listed.model_dump_json(indent=2).encode() + b"\n")


def obscure_path(shard: str) -> str:
    """Where the list of a shard is."""
    return f"{_FOLDER}/{shard}.json"
