"""Faces of a release that a person, or its last audit, wants obscured: puts them on the lists that the next run reads.

Nothing is made here, and nothing of DST is changed but the lists and the seal: `cfanet release`, run again as before,
makes the shards of these faces once more, and judges the whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from audit.evidence import Evidence
from audit.gate import decide
from audit.metrics import measure
from audit.named import named_faces
from cfanet.errors import InputError
from cfanet.records import FaceDecision
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


def name_faces(config: ReleaseConfig, faces: Sequence[str] = ()) -> Named:
    """List `faces` (PICTURE#NUMBER), or without any those that the last audit refused for their own sake.

    InputError, and nothing is written, when there is no such face, or it has no new face that could be covered.
    """
    destination = open_storage(config.destination.uri)
    record = read_run_record(destination)
    if record is None:
        raise InputError(f"DST {config.destination.uri} holds no run of this tool: give the DST of `cfanet release`")
    why = dict.fromkeys(faces, _BY_A_PERSON) or _of_last_audit(config, destination, str(record["run_id"]))
    shards = list(manifest_names(destination))
    found = {shard: named for shard in shards if (named := _in_ledger(destination, shard, why))}
    missing = set(why).difference(*found.values())
    if missing:
        raise InputError(
            f"DST {config.destination.uri} has no face {min(missing)!r}: name faces as the report does, PICTURE#NUMBER"
        )
    lists = read_obscure_lists(destination)
    wanted = {shard: ObscureList(faces=lists.get(shard, NOBODY).faces | named) for shard, named in found.items()}
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


def _in_ledger(destination: Storage, shard: str, wanted: Mapping[str, str]) -> dict[str, NamedFace]:
    """The wanted faces of one shard; InputError for one that is not replaced."""
    found, pictures = {}, {face.rpartition("#")[0] for face in wanted}
    for entry in read_ledger(destination, shard):
        if entry.picture.sample_key not in pictures:
            continue
        for face in entry.picture.faces:
            name = f"{entry.picture.sample_key}#{face.face_index}"
            if name in wanted and face.decision != FaceDecision.REPLACED:
                raise InputError(f"face {name!r} is {face.decision} already: it has no new face that could be covered")
            if name in wanted:
                found[name] = NamedFace(box=face.box, why=wanted[name])
    return found
