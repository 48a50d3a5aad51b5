"""Checks of the gate beyond recognition: look-alikes, groups of faces, attackers, names, copies and stray files."""

from collections.abc import Iterator
from dataclasses import replace

from audit.breakdown import AttackRate
from audit.checks import SHOWN, Check, count_check
from audit.config import GateSettings
from audit.metrics import Judgement, Measurements
from audit.words import interval, number, percent, whole

_QUESTIONS = {
    "linkage": "Can two released faces of one person be linked?",
    "parrot": "Can an attacker who learned people's anonymized pictures name new ones?",
    "reconstruction": "Can an attacker learn to undo the anonymizer?",
}


def certain(judge: Judgement, settings: GateSettings) -> Iterator[Check]:
    """Is a new face as much like its own original, or like a third person, as one person's pictures are?"""
    name = judge.recognizer
    own, other = "Is any new face plainly the person it was?", "Could a new face be taken for a certain other person?"
    if judge.certain is None:
        detail = "Not known: the originals have fewer than 30 pairs of pictures of one person."
        for check, question in (("certain_match", own), ("certain_collision", other)):
            yield Check(f"{check}:{name}", question, True, False, None, None, None, detail)
        return
    none = f"None: to {name}, that would be a similarity of {number(judge.certain.similarity)} or more."
    words = "New faces as like their own original as two pictures of one person usually are"
    yield count_check(f"certain_match:{name}", own, judge.certain_own, settings.max_certain_matches, (none, words))
    strangers, most = judge.certain.strangers, settings.max_certain_collisions
    chance = int((strangers.value or 0.0) * judge.n_searched)
    limit = None if most is None else chance + most
    words = "New faces as like another real person as two pictures of one person usually are"
    found = count_check(f"certain_collision:{name}", other, judge.certain_faces, limit, (none, words))
    if strangers.hits:
        beside = (
            f" Of untouched faces {percent(strangers.value)} are ({whole(strangers.hits)} of {whole(strangers.n)}): "
            f"{whole(chance)} of {whole(judge.n_searched)} would be no more than chance."
        )
        found = replace(found, detail=found.detail + beside)
    yield found
    if judge.outside is not None:
        words = "New faces as like somebody in the other galleries as two pictures of one person usually are"
        question = "Could a new face be taken for somebody in the other galleries?"
        yield count_check(f"certain_outside:{name}", question, judge.certain_outside, most, (none, words))


def outside(judge: Judgement) -> Iterator[Check]:
    """Does a new face match somebody in another gallery: a known person, or its own face in an earlier release?"""
    if judge.outside is None:
        return
    found = judge.outside
    yield Check(
        name=f"outside:{judge.recognizer}",
        question="Do new faces match anybody in the other galleries?",
        passed=True,
        decides=False,
        value=found.value,
        limit=None,
        rate=found,
        detail=f"{judge.recognizer} matches {whole(found.hits)} of {whole(found.n)}. Those that could be taken for a "
        "certain person are counted in certain_outside.",
        offenders=judge.outside_faces[:SHOWN],
        n_offenders=len(judge.outside_faces),
    )


def groups(judge: Judgement, settings: GateSettings) -> Check:
    """Are some kinds of faces recognised more than others?"""
    limit = settings.max_stratum_rate
    worst = max(judge.strata, key=lambda s: (s.mated.low or 0.0, s.mated.value or 0.0), default=None)
    over = [s for s in judge.strata if limit is not None and (s.mated.low or 0.0) > limit]
    if worst is None:
        detail = "There was none to compare."
    else:
        detail = (
            f"Highest by {judge.recognizer}: {worst.dimension} {worst.value}, {whole(worst.mated.hits)} of "
            f"{whole(worst.mated.n)} matched. The lower confidence limit of each group decides."
        )
    names = tuple(f"{s.dimension} {s.value}: {percent(s.mated.value)} of {whole(s.mated.n)}" for s in over)
    return Check(
        name=f"groups:{judge.recognizer}",
        question="Is any kind of face recognised more than others?",
        passed=not over,
        decides=limit is not None,
        value=worst.mated.value if worst else None,
        limit=limit,
        rate=worst.mated if worst else None,
        detail=detail,
        offenders=names[:SHOWN],
        n_offenders=len(names),
    )


def leaks(measured: Measurements, settings: GateSettings) -> Iterator[Check]:
    """Names, raw copies, stray files and repeated seeds."""
    yield count_check(
        "names",
        "Do file names or other members name an enrolled person?",
        measured.names,
        settings.max_name_findings,
        ("No name of an enrolled person was found.", "Places that hold an enrolled person's name"),
    )
    yield count_check(
        "near_duplicates",
        "Is an original's face left anywhere in the output?",
        measured.near_duplicates,
        settings.max_near_duplicates,
        ("No raw copy was found.", "Pictures that show an original's untouched face"),
    )
    yield count_check(
        "stray_files",
        "Does the output hold only what was recorded?",
        measured.strays,
        settings.max_stray_files,
        ("Every file is recorded.", "Files that no manifest mentions, or members that are not allowed"),
    )
    yield count_check(
        "repeated_seeds",
        "Was any seed used for more than one face?",
        measured.repeated_seeds,
        None,
        ("Every new face has its own.", "Seeds used more than once, so that faces may be linked"),
    )


def attacks(measured: Measurements, settings: GateSettings) -> Iterator[Check]:
    """One check per attacker and recognizer."""
    for found in measured.attacks:
        if found.role == "attack":
            yield _attack(found, measured, settings)


def _attack(found: AttackRate, measured: Measurements, settings: GateSettings) -> Check:
    controls = {
        other.role: other
        for other in measured.attacks
        if (other.name, other.recognizer) == (found.name, found.recognizer)
    }
    excess = settings.max_linkage_excess if found.name == "linkage" else settings.max_attack_excess
    name, question = f"{found.name}:{found.recognizer}", _QUESTIONS[found.name]
    if not found.success.n:
        return Check(name, question, True, False, None, None, None, f"{found.recognizer}, {found.detail}.")
    limit = None if excess is None else min(1.0, found.chance + excess)
    works = controls["positive_control"].beats_chance
    honest = (controls["negative_control"].success.low or 0.0) <= found.chance
    detail = (
        f"{found.recognizer}, {found.detail}: {whole(found.success.hits)} of {whole(found.success.n)} "
        f"({percent(found.success.value)}, {interval(found.success.low, found.success.high)}); by chance "
        f"{percent(found.chance)}; {percent(controls['positive_control'].success.value)} in the positive and "
        f"{percent(controls['negative_control'].success.value)} in the negative control."
    )
    if not works:
        detail += " The attack fails where there is something to find, so it proves nothing."
    elif not honest:
        detail += " It also succeeds where there is nothing to find, so it proves nothing."
    elif found.beats_chance:
        detail += " It does better than chance."
    return Check(
        name=name,
        question=question,
        passed=limit is None or (found.success.low or 0.0) <= limit,
        decides=limit is not None and works and honest,
        value=found.success.value,
        limit=limit,
        rate=found.success,
        detail=detail,
    )
