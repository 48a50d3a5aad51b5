"""Deletion from a private gallery: all of it, the embeddings of its present state, or one person.

Evidence holds ids, pseudonyms and digests, and never needs the gallery again: whatever is deleted here, `audit verify`
and `report` say what they said before. Nothing may be using the gallery meanwhile.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from audit.erase import Erased, Who, erase, find
from audit.gallery import mark_deleted, read_versions, seal, snapshot_of
from audit.names import name_hashes
from cfanet.errors import ConfigError, InputError
from jobs.gallery_store import GalleryStore

_MIN_DIGITS = 8
_VERSIONS = " The bucket keeps, or may keep, old versions: delete those as well."


@dataclass(frozen=True)
class Wanted:
    """What is to be deleted; without snapshot, subject and pictures: the whole gallery."""

    gallery: str  # folder or s3:// address
    snapshot: str = ""  # digest of its present state, or the first 8 digits of it or more
    subject: str = ""  # label of a person as in the source, or the pseudonym that evidence shows
    pictures: tuple[str, ...] = ()  # sample keys, for people without a label


def delete(wanted: Wanted, confirm: Callable[[str], bool]) -> str:
    """Delete, once `confirm` has agreed to the sentence that says what; returns what was deleted, in one sentence.

    InputError when there is no gallery, or nothing of what is wanted in it; ConfigError when nobody agreed. Stopped in
    between, the same call finishes it.
    """
    if bool(wanted.snapshot) + bool(wanted.subject or wanted.pictures) > 1:
        raise ConfigError("a snapshot and a person cannot be deleted by one command: give --snapshot or --subject")
    store = GalleryStore(wanted.gallery)
    files = store.files()
    if not files:
        raise InputError(f"there is no gallery at {wanted.gallery}: name a folder that `cfanet gallery enrol` wrote")
    versions = _VERSIONS if store.keeps_versions else ""
    if wanted.snapshot:
        done = _delete_snapshot(store, wanted.snapshot, confirm)
    elif wanted.subject or wanted.pictures:
        done = _delete_pictures(store, wanted, confirm)
    else:
        done = _delete_all(store, files, confirm)
    return done + versions


def _delete_all(store: GalleryStore, files: list[str], confirm: Callable[[str], bool]) -> str:
    shards = _counted(_shards(files), "enrolled shard")
    what = f"all {shards} of {store.uri}, its calibrations and the key of its pseudonyms"
    _ask(confirm, what)
    store.delete(files)
    return f"Deleted: {what}; its pseudonyms in evidence can no longer be traced to a name."


def _delete_snapshot(store: GalleryStore, wanted: str, confirm: Callable[[str], bool]) -> str:
    with store.whole() as folder:
        digest = _present_state(folder, wanted)
        embeddings = [path for path in store.files() if "/" in path]
        shards = _counted(_shards(embeddings), "enrolled shard")
        what = f"all {shards} of {store.uri} (snapshot {digest}) and its calibrations"
        _ask(confirm, what)
        mark_deleted(folder)  # first: stopped after it, the same command finds the same snapshot again
    store.delete(embeddings)
    return f"Deleted: {what}; the key of its pseudonyms and the list of its snapshots stay."


def _present_state(folder: Path, wanted: str) -> str:
    """Digest of the state that is wanted, if that is the present one: earlier ones have no embeddings of their own."""
    if not re.fullmatch(rf"[0-9a-f]{{{_MIN_DIGITS},64}}", wanted):
        raise InputError(f"{wanted!r} is no digest of a snapshot: give {_MIN_DIGITS} or more of its hexadecimal digits")
    versions = read_versions(folder)
    unfinished = versions and versions[-1].get("deleted") and versions[-1]["sha256"].startswith(wanted)
    if not unfinished:
        seal(folder)
        versions = read_versions(folder)
    if versions[-1]["sha256"].startswith(wanted):
        return str(versions[-1]["sha256"])
    number = next((v["version"] for v in versions if v["sha256"].startswith(wanted)), None)
    found = "no snapshot of this gallery" if number is None else f"version {number} of {len(versions)}"
    raise InputError(
        f"{wanted} is {found}: one copy is kept, the present one, {versions[-1]['sha256']}; "
        "delete that, or a person, or the whole gallery"
    )


def _delete_pictures(store: GalleryStore, wanted: Wanted, confirm: Callable[[str], bool]) -> str:
    with store.whole() as folder:
        who = _who(store, wanted)
        recorded, now = read_versions(folder), snapshot_of(folder).sha256
        found = find(folder, who)
        stale = not recorded or recorded[-1]["sha256"] != now
        if not found.shards and not stale:
            raise InputError(
                f"nobody and nothing of that name is enrolled in {store.uri}: give the label as the source spells it, "
                "or the pseudonym or sample key that evidence shows"
            )
        what = _pictures(found, who)
        _ask(confirm, f"{what} from {store.uri}, and the calibrations that were fitted with them")
        for path in erase(folder, who).shards:
            store.put(folder, path)
        store.delete(path for path in store.files() if _derived(path))
        for path in folder.glob("calibration/*.json"):
            path.unlink()
        snapshot = seal(folder)
    return (
        f"Deleted: {what} from {store.uri}, with the calibrations that were fitted with them; "
        f"snapshot {now} became {snapshot.sha256}, which holds {_counted(snapshot.n_references, 'face')}."
    )


def _who(store: GalleryStore, wanted: Wanted) -> Who:
    if not wanted.subject:
        return Who(pictures=frozenset(wanted.pictures))
    if re.fullmatch(r"[0-9a-f]{16}", wanted.subject):  # as evidence shows it; what it was made from is not known
        return Who(wanted.subject, frozenset(wanted.pictures))
    if not store.made:
        raise InputError(f"{store.uri} has no key of pseudonyms: give the person's pseudonym, as evidence shows it")
    pseudonyms = store.pseudonyms()
    names = name_hashes(wanted.subject, pseudonyms)
    return Who(pseudonyms.of(wanted.subject), frozenset(wanted.pictures), names)


def _pictures(found: Erased, who: Who) -> str:
    person = f" of person {who.subject}" if who.subject else ""
    return f"{_counted(found.faces, 'face')} in {_counted(found.pictures, 'picture')}{person}"


def _counted(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _derived(path: str) -> bool:
    """Calibrations, embeddings of released faces, and drafts that a killed worker left."""
    return path.startswith(("calibration/", "probes/")) or path.rpartition("/")[2].startswith(".")


def _shards(files: list[str]) -> int:
    return sum(path.startswith("shards/") and not path.rpartition("/")[2].startswith(".") for path in files)


def _ask(confirm: Callable[[str], bool], what: str) -> None:
    if not confirm(what):
        raise ConfigError("nothing was deleted, because nobody agreed: answer y, or give --yes")
