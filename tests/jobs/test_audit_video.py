from collections.abc import Callable
from pathlib import Path

import pytest

from audit.records import AuditedFace, AuditedPicture, FaceOrigin, LedgerPicture
from cfanet.records import FaceDecision, FaceRecord, ImageStatus
from jobs.audit_video import first_of_tracks, with_container
from jobs.config import ReleaseConfig
from jobs.manifest import read_manifest
from jobs.progress import Progress
from jobs.release import release
from jobs.storage import open_storage
from tests.cfanet.clips import write_clip
from tests.jobs.fakes import FakeTools, picture


def examined(key: str, *tracks: int) -> AuditedPicture:
    ledger = LedgerPicture(key, ImageStatus.ANONYMIZED, "", "", "", ())
    box = (0.0, 0.0, 1.0, 1.0)
    records = [FaceRecord(t, box, "", 1.0, "cfa", FaceDecision.REPLACED, 1, None, None, "") for t in tracks]
    faces = [AuditedFace(key, record.face_index, FaceOrigin.LEDGER, "", box, record) for record in records]
    stranger = AuditedFace(key, 0, FaceOrigin.SECOND_DETECTOR, "", box, None)
    return AuditedPicture(ledger, (*faces, stranger), (), True)


def test_attackers_get_one_face_a_track() -> None:
    known: set[int] = set()
    first = first_of_tracks([examined("v:0", 0), examined("v:1", 0, 1)], known)
    second = first_of_tracks([examined("v:2", 0, 1, 2)], known)
    assert [[face.face_index for face in picture.faces] for picture in (*first, *second)] == [[0], [1], [2]]


@pytest.mark.usefixtures("inline")
def test_what_the_container_carries_is_a_finding_of_its_first_frame(
    source: Path, tmp_path: Path, make_config: Callable[..., ReleaseConfig], quiet: Progress
) -> None:
    write_clip(source / "clip.mp4", [picture([40])] * 3)
    release(make_config(anonymize__min_replace_px=8.0), quiet, FakeTools)
    destination = open_storage(str(tmp_path / "released"))
    manifest = read_manifest(destination, "clip.mp4")
    assert manifest is not None
    pictures = [examined("v:0"), examined("v:1")]
    assert [p.findings for p in with_container(destination, manifest, pictures)] == [(), ()]
    write_clip(tmp_path / "released" / "clip.mp4", [picture([40])] * 3)
    first, second = with_container(destination, manifest, pictures)
    assert "container metadata: title" in first.findings and not second.findings
