"""The attackers' turn: embeddings of released faces are collected beside the gallery, used, and removed."""

import numpy as np

from audit.attacks.faces import Faces, pair_faces
from audit.attacks.linkage import linkage
from audit.attacks.parrot import parrot
from audit.attacks.reconstruction import reconstruction
from audit.gallery import ShardStamp, open_gallery, write_shard
from audit.records import AttackResult, AuditedFace, AuditedPicture, EnrolledFace, EnrolledPicture, FaceOrigin
from cfanet.records import Detection, FaceDecision
from jobs.codecs.shard import WorkItem
from jobs.config import ReleaseConfig
from jobs.gallery_store import GalleryStore
from jobs.pictures import gallery_id

_ATTACKERS = {"linkage": linkage, "parrot": parrot, "reconstruction": reconstruction}


def probes_of(config: ReleaseConfig) -> GalleryStore:
    """Where released embeddings wait for the attackers: private, inside the gallery."""
    return GalleryStore(f"{config.gallery_uri.rstrip('/')}/probes")


def forget_probes(config: ReleaseConfig) -> None:
    """Remove released embeddings, those of an interrupted audit included."""
    probes_of(config).remove()


def released_faces(item: WorkItem, pictures: tuple[AuditedPicture, ...]) -> list[EnrolledPicture]:
    """Replaced faces with their embeddings, under the ids of their originals; before the search drops them."""
    found = []
    for picture in pictures:
        faces = [face for face in picture.faces if _is_replaced(face)]
        if faces:
            key = gallery_id(item, picture.ledger.sample_key)
            probes = tuple(_probe(key, face) for face in faces)
            found.append(EnrolledPicture(key, picture.ledger.output_sha256, probes))
    return found


def write_probes(config: ReleaseConfig, shard: str, pictures: list[EnrolledPicture]) -> None:
    """Keep the released faces of one shard for the attackers."""
    if config.audit.attacks.run and pictures:
        with probes_of(config).draft(shard) as folder:
            write_shard(folder, shard, pictures, ShardStamp("", ""))


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
    with GalleryStore(config.gallery_uri).whole() as folder:
        originals = open_gallery(folder, judge)
    with probes_of(config).whole() as folder:
        if not (folder / "shards").is_dir():  # nothing was replaced
            return Faces(judge, originals.references.embeddings[:0], originals.references.embeddings[:0], ())
        return pair_faces(judge, open_gallery(folder, judge), originals, config.audit.attacks.max_faces)


def _is_replaced(face: AuditedFace) -> bool:
    replaced = face.record is not None and face.record.decision is FaceDecision.REPLACED
    return replaced and face.origin is FaceOrigin.LEDGER and bool(face.embeddings) and bool(face.comparisons)


def _probe(key: str, face: AuditedFace) -> EnrolledFace:
    # The reference id of the original ends in its index in the gallery, which need not be the ledger's.
    index = face.comparisons[0].reference_id.rpartition("#")[2]
    position = int(index) if index.isdigit() else 1_000_000 + face.face_index  # the original was never enrolled
    detection = Detection(face.box, 0.0, np.zeros((5, 2), dtype=np.float32))
    return EnrolledFace(key, position, face.subject_id, detection, face.embeddings)
