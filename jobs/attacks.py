"""The attackers' turn: embeddings of released faces are collected beside the gallery, used, and removed."""

import shutil
from pathlib import Path

import numpy as np

from audit.attacks.faces import Faces, pair_faces
from audit.attacks.linkage import linkage
from audit.attacks.parrot import parrot
from audit.attacks.reconstruction import reconstruction
from audit.gallery import ShardStamp, open_gallery, write_shard
from audit.records import AttackResult, AuditedFace, AuditedPicture, EnrolledFace, EnrolledPicture, FaceOrigin
from cfanet.records import Detection, FaceDecision
from jobs.config import ReleaseConfig

_ATTACKERS = {"linkage": linkage, "parrot": parrot, "reconstruction": reconstruction}


def probes_dir(config: ReleaseConfig) -> Path:
    """Where released embeddings wait for the attackers: private, inside the gallery."""
    return config.gallery_dir / "probes"


def forget_probes(config: ReleaseConfig) -> None:
    """Remove released embeddings, those of an interrupted audit included."""
    shutil.rmtree(probes_dir(config), ignore_errors=True)


def released_faces(pictures: tuple[AuditedPicture, ...]) -> list[EnrolledPicture]:
    """Replaced faces with their embeddings, under the ids of their originals; before the search drops them."""
    found = []
    for picture in pictures:
        faces = [face for face in picture.faces if _is_replaced(face)]
        if faces:
            key = picture.ledger.sample_key
            found.append(EnrolledPicture(key, picture.ledger.output_sha256, tuple(_probe(face) for face in faces)))
    return found


def write_probes(config: ReleaseConfig, shard: str, pictures: list[EnrolledPicture]) -> None:
    """Keep the released faces of one shard for the attackers."""
    if config.audit.attacks.run and pictures:
        write_shard(probes_dir(config), shard, pictures, ShardStamp("", ""))


def run_attacks(config: ReleaseConfig, judges: list[str]) -> list[AttackResult]:
    """Let every configured attacker try every judge's embeddings, and remove the released ones afterwards."""
    settings, results = config.audit.attacks, []
    try:
        for judge in judges if settings.run else []:
            faces = _faces(config, judge)
            for name in settings.run:
                results += _ATTACKERS[name](faces, settings)
    finally:
        forget_probes(config)
    return results


def _faces(config: ReleaseConfig, judge: str) -> Faces:
    originals = open_gallery(config.gallery_dir, judge)
    if not probes_dir(config).is_dir():  # nothing was replaced
        return Faces(judge, originals.references.embeddings[:0], originals.references.embeddings[:0], ())
    return pair_faces(judge, open_gallery(probes_dir(config), judge), originals, config.audit.attacks.max_faces)


def _is_replaced(face: AuditedFace) -> bool:
    replaced = face.record is not None and face.record.decision is FaceDecision.REPLACED
    return replaced and face.origin is FaceOrigin.LEDGER and bool(face.embeddings) and bool(face.comparisons)


def _probe(face: AuditedFace) -> EnrolledFace:
    # The reference id of the original ends in its index in the gallery, which need not be the ledger's.
    index = face.comparisons[0].reference_id.rpartition("#")[2]
    position = int(index) if index.isdigit() else 1_000_000 + face.face_index  # the original was never enrolled
    detection = Detection(face.box, 0.0, np.zeros((5, 2), dtype=np.float32))
    return EnrolledFace(face.sample_key, position, face.subject_id, detection, face.embeddings)
