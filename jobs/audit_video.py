"""What an audit does differently with videos, whose pictures are frames."""

from collections.abc import Sequence
from dataclasses import replace

from audit.records import AuditedFace, AuditedPicture
from audit.video import inspect_video
from jobs.codecs.folder import extension_of
from jobs.manifest import Manifest
from jobs.storage import Storage


def first_of_tracks(pictures: Sequence[AuditedPicture], known: set[int]) -> tuple[AuditedPicture, ...]:
    """The pictures with the first face of every track, and no other; `known` tracks are added to.

    Frames of a track are one person with one new face. An attacker who is taught some of them and asked about the
    others has been told the answer.
    """
    return tuple(replace(picture, faces=tuple(f for f in picture.faces if _is_first(f, known))) for picture in pictures)


def _is_first(face: AuditedFace, known: set[int]) -> bool:
    track = face.record.face_index if face.record else -1  # a record's face index is its track's
    first = track >= 0 and track not in known
    known.add(track)
    return first


def with_container(
    destination: Storage, manifest: Manifest, pictures: Sequence[AuditedPicture]
) -> list[AuditedPicture]:
    """The frames, the first of them with whatever the released file carries beside pictures and sound."""
    found: list[str] = []
    for output in manifest.outputs:
        with destination.open_read(output.path) as file:
            found += inspect_video(file, extension_of(output.path))
    if not found or not pictures:
        return list(pictures)
    return [replace(pictures[0], findings=(*pictures[0].findings, *found)), *pictures[1:]]
