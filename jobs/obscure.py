"""Faces of a release that a person, or its last audit, wants obscured: puts them on the lists that the next run reads.

Nothing is made here, and nothing of DST is changed but the lists and the seal: `cfanet release`, run again as before,
makes the shards of these faces once more, and judges the whole.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from audit.evidence import Evidence
from audit.gate import decide
from audit.metrics import measure
from audit.named import named_faces
from cfanet.errors import InputError
from cfanet.records import FaceDecision, FaceRecord
from jobs.config import ReleaseConfig
from jobs.evidence_file import stored_evidence
from jobs.ledger import read_ledger
from jobs.manifest import manifest_names
from jobs.obscure_list import NOBODY, NamedFace, ObscureList, read_obscure_lists, write_obscure_list
from jobs.plan import RELEASE_FILE
from jobs.run import read_run_record, write_run_record
from jobs.storage import Storage, open_storage

_BY_A_PERSON = "named by a person"


@dataclass(frozen=True)
class Named:
    """What a call put on the lists."""

    faces: Mapping[str, str]  # by PICTURE#NUMBER, why
    shards: tuple[str, ...]  # that are to be made again
    n_shards: int  # of the whole release


def name_faces(config: ReleaseConfig, chosen: Sequence[str] = ()) -> Named:
    """List the `chosen` faces (PICTURE#NUMBER), or without any those that the last audit refused for their own sake.

    InputError, and nothing is written, when there is no such face, or it has no new face that could be covered.
    """
    destination = open_storage(config.destination.uri)
    record = read_run_record(destination)
    if record is None:
        raise InputError(f"DST {config.destination.uri} holds no run of this tool: give the DST of `cfanet release`")
    why = dict.fromkeys(chosen, _BY_A_PERSON) or _of_last_audit(config, destination, str(record["run_id"]))
    shards = list(manifest_names(destination))
    found = {shard: faces for shard in shards if (faces := _in_ledger(destination, shard, why))}
    for name in sorted(why):  # one key may stand in several shards
        decisions = [faces[name].decision for faces in found.values() if name in faces]
        if not decisions:
            raise InputError(
                f"DST {config.destination.uri} has no face {name!r}: name faces as the report does, PICTURE#NUMBER"
            )
        if FaceDecision.REPLACED not in decisions:
            raise InputError(f"face {name!r} is {decisions[0]} already: it has no new face that could be covered")
    lists, wanted = read_obscure_lists(destination), {}
    for shard, faces in found.items():
        named = {n: NamedFace(box=f.box, why=why[n]) for n, f in faces.items() if f.decision == FaceDecision.REPLACED}
        if named:
            wanted[shard] = ObscureList(faces=lists.get(shard, NOBODY).faces | named)
    destination.delete(RELEASE_FILE)  # first: what it vouches for is no longer wanted as it is
    for shard, listed in wanted.items():
        write_obscure_list(destination, shard, listed)
    write_run_record(destination, record | {"status": "faces named"})
    return Named(why, tuple(wanted), len(shards))


def _of_last_audit(config: ReleaseConfig, destination: Storage, run_id: str) -> dict[str, str]:
    with stored_evidence(config, destination) as url, Evidence(url) as evidence:
        rows = evidence.read_run(run_id)
    measured = measure(rows, config.audit)
    verdict = decide(measured, config.audit.gate, rows)
    named = named_faces(measured, verdict)
    if not named:
        reasons = "; ".join(verdict.reasons) or "it passed"
        raise InputError(
            f"the last audit of DST {config.destination.uri} names no face to obscure ({reasons}): give faces as "
            "PICTURE#NUMBER, or, where a rate is too high, make the release anew with another key or stricter settings"
        )
    return named


def _in_ledger(destination: Storage, shard: str, wanted: Collection[str]) -> dict[str, FaceRecord]:
    """The wanted faces of one shard, by PICTURE#NUMBER."""
    faces = (
        (f"{entry.picture.sample_key}#{face.face_index}", face)
        for entry in read_ledger(destination, shard)
        for face in entry.picture.faces
    )
    return {name: face for name, face in faces if name in wanted}
