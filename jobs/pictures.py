"""From the members of a sample to pictures that a network can look at, or the reason why not."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from audit.records import EnrolledPicture
from cfanet.errors import PictureError
from cfanet.images import Picture, decode
from jobs.codecs.shard import Member, Sample, WorkItem, is_picture_extension


@dataclass(frozen=True, eq=False)
class SourcePicture:
    """One picture of a sample: decoded, or the reason why it cannot be."""

    id: str  # in gallery and ledger
    member: Member
    sha256: str  # of the file
    picture: Picture | None
    reason: str = ""
    detail: str = ""


def gallery_id(item: WorkItem, picture_id: str) -> str:
    """A picture's name in gallery and seeds, unique in the dataset: two tars may hold the same key.

    Paths of loose files, and the row names of Parquet, are unique already; a path must not depend on the grouping.
    """
    return f"{item.shard}/{picture_id}" if item.format == "webdataset" else picture_id


def enrolled_by_picture(item: WorkItem, enrolled: Iterable[EnrolledPicture]) -> dict[str, EnrolledPicture]:
    """Enrolled pictures of one item by their names in that item."""
    prefix = gallery_id(item, "")
    return {picture.sample_key.removeprefix(prefix): picture for picture in enrolled}


def source_pictures(sample: Sample, max_megapixels: float) -> list[SourcePicture]:
    """Decode every picture of a sample, in order."""
    return [_source_picture(sample, member, max_megapixels) for member in sample.pictures]


def _source_picture(sample: Sample, member: Member, max_megapixels: float) -> SourcePicture:
    data = member.data or b""
    digest = hashlib.sha256(data).hexdigest()
    try:
        return SourcePicture(sample.picture_id(member), member, digest, decode(data, max_megapixels))
    except PictureError as error:
        return SourcePicture(sample.picture_id(member), member, digest, None, error.reason, error.detail)


def wants_pictures(extension: str) -> bool:
    """True for the members an audit reads."""
    return is_picture_extension(extension)


def wants_labels(extension: str) -> bool:
    """True for the members enrolment reads: pictures, and the sidecar that may name the person."""
    return extension == "json" or is_picture_extension(extension)


def subject_label(sample: Sample, field: str) -> str:
    """The owner's name for the person in a sample, from its .json member; "" where there is none."""
    return _text(_sidecar(sample).get(field))


def group_labels(sample: Sample, fields: Sequence[str]) -> dict[str, str]:
    """The owner's labels of groups (age band, skin tone, …) of a sample, from its .json member, by field."""
    values = _sidecar(sample) if fields else {}
    return {field: text for field in fields if (text := _text(values.get(field)))}


def _sidecar(sample: Sample) -> dict[str, Any]:
    for member in sample.members:
        if member.extension == "json" and member.data:
            try:
                values = json.loads(member.data)
            except (ValueError, RecursionError):
                return {}
            return values if isinstance(values, dict) else {}
    return {}


def _text(value: object) -> str:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def looks_like_picture(data: bytes) -> bool:
    """True when a file starts as pictures do, whatever its name says."""
    return data.startswith(_SIGNATURES) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP") or data[4:8] == b"ftyp"


_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"II*\x00", b"MM\x00*", b"BM")
