"""What the attackers are given: every replaced face, under the id of its original in the gallery."""

import hashlib

import numpy as np

from audit.records import AuditedFace, AuditedPicture, FaceOrigin, LedgerPicture
from cfanet.records import Comparison, FaceDecision, ImageStatus
from jobs.attacks import released_faces
from jobs.codecs.shard import WorkItem
from tests.audit.fakes import face_record

ITEM = WorkItem("train-0", "webdataset", (), "")
BOX = (10.0, 10.0, 60.0, 60.0)


def audited(index: int, reference: str, decision: FaceDecision = FaceDecision.REPLACED) -> AuditedFace:
    mated = Comparison("fake", "mated", reference, 0.1, 84.0, 0.9)
    vectors = {"fake": np.ones((1, 4), np.float32) / 2}
    record = face_record(index, BOX, decision)
    return AuditedFace("a", index, FaceOrigin.LEDGER, "", BOX, record, (mated,), embeddings=vectors)


def test_a_face_that_was_never_enrolled_does_not_hide_its_neighbours() -> None:
    faces = (audited(0, "original"), audited(1, "train-0/a#0"), audited(2, "train-0/a#1", FaceDecision.OBSCURED))
    digest = hashlib.sha256(b"").hexdigest()
    ledger = LedgerPicture("a", ImageStatus.OBSCURED, "", digest, digest, (), "JPEG", 100, 100)
    (picture,) = released_faces(ITEM, (AuditedPicture(ledger, faces),))
    assert picture.sample_key == "train-0/a"
    assert [face.reference_id for face in picture.faces] == ["train-0/a#1000000", "train-0/a#0"]
