"""The decision: limits from the settings against measured numbers. Release only if every check passes."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from audit.checks import SHOWN, Check, count_check
from audit.config import GateSettings
from audit.gate_questions import attacks, certain, groups, leaks, outside
from audit.intervals import Rate, rule_of_three, trials_for
from audit.metrics import Judgement, Measurements
from audit.records import NAMED_BY_AUDIT
from audit.rows import RunRows
from audit.words import percent, rounded, whole
from cfanet.records import FaceDecision


@dataclass(frozen=True)
class Verdict:
    """May the dataset be released?"""

    passed: bool
    reasons: tuple[str, ...]  # why not; empty when passed
    checks: tuple[Check, ...]


def decide(measured: Measurements, settings: GateSettings, rows: RunRows) -> Verdict:
    """Answer every check; the verdict is "passed" when each one that decides has passed."""
    checks = tuple(_checks(measured, settings, rows))
    failed = [check for check in checks if check.decides and not check.passed]
    return Verdict(not failed, tuple(f"{check.question} {check.detail}" for check in failed), checks)


def _checks(measured: Measurements, settings: GateSettings, rows: RunRows) -> Iterator[Check]:
    yield _independence(measured, settings)
    for judge in measured.judgements:
        yield from _mated(judge, settings, _named(rows))
        yield from _identified(judge, settings)
        yield _collisions(judge, settings, rows)
        yield from certain(judge, settings)
        yield from outside(judge)
        yield groups(judge, settings)
    yield count_check(
        "unchanged_faces",
        "Was any face left as it was?",
        measured.unchanged_faces,
        settings.max_unchanged_faces,
        ("Every face has changed.", "Faces with the pixels they had"),
    )
    yield _missed(measured, settings)
    yield count_check(
        "unverified_faces",
        "Was every released face compared with its original?",
        measured.unverified_faces,
        settings.max_unverified_faces,
        ("Every one.", "Released faces that could not be compared"),
    )
    yield count_check(
        "unexamined_pictures",
        "Was every released picture read again?",
        measured.unexamined,
        0,
        ("Every one.", "Pictures that are released according to the ledger, but were not read"),
    )
    yield count_check(
        "metadata",
        "Do the released files carry pixels and nothing else?",
        [f"{key}: {'; '.join(found)}" for key, found in sorted(measured.findings.items())],
        settings.max_metadata_findings,
        ("No file has a finding.", "Released pictures with findings"),
    )
    yield from leaks(measured, settings)
    yield _reconciled(measured, settings)
    yield from attacks(measured, settings)


def _independence(measured: Measurements, settings: GateSettings) -> Check:
    judges = [judge.recognizer for judge in measured.judgements]
    independent = [judge.recognizer for judge in measured.judgements if not judge.guided]
    if independent:
        detail = f"{', '.join(independent)} took no part in making the faces or in training what made them."
        if len(independent) < len(judges):
            guided = [name for name in judges if name not in independent]
            detail += f" {', '.join(guided)} did, so that a good result of it proves little."
    elif judges:
        detail = f"{', '.join(judges)} also guided the generator or its training: add a recognizer that did not."
    else:
        detail = "No recognizer judged: name at least one in [audit] recognizers."
    return Check(
        name="independent_judge",
        question="Is the judge independent of the generator?",
        passed=bool(independent),
        decides=settings.require_independent,
        value=float(len(independent)),
        limit=1.0,
        rate=None,
        detail=detail,
    )


def _named(rows: RunRows) -> int:
    """How many faces are obscured, and so count as replaced no more, because an earlier audit named them."""
    detail = [face.detail for face in rows.faces if face.decision == FaceDecision.OBSCURED]
    return sum(text.startswith(NAMED_BY_AUDIT) for text in detail)


def _mated(judge: Judgement, settings: GateSettings, named: int) -> Iterator[Check]:
    """One-to-one: is a released face matched to its own original? `named` are obscured since an audit named them."""
    words = {
        "replaced": "Is anyone recognisable in a replaced face?",
        "unrecorded": "Is anyone recognisable in a face that the ledger does not mention?",
    }
    limit = settings.max_mated_rate
    for group, question in words.items():
        found = judge.mated[group]
        if group == "unrecorded" and not found.n:
            continue
        passed = found.value is None or found.value <= limit
        detail = (
            f"{judge.recognizer} matches {whole(found.hits)} of {whole(found.n)} to their own original "
            f"({percent(found.value)}; the limit is {percent(limit)})."
        )
        if group == "replaced" and settings.max_mated_upper is not None and found.high is not None:
            passed = passed and found.high <= settings.max_mated_upper
            allowed = percent(settings.max_mated_upper)
            detail += f" The upper confidence limit is {percent(found.high)}; {allowed} is allowed."
        detail = detail + _too_few(found, limit, settings.confidence) if found.n else "There was none to compare."
        if group == "replaced" and named:
            detail += f" No longer counted, because an earlier audit named them and they are obscured: {whole(named)}."
        yield Check(
            name=f"mated_{group}:{judge.recognizer}",
            question=question,
            passed=passed,
            decides=True,
            value=found.value,
            limit=limit,
            rate=found,
            detail=detail,
            offenders=judge.matched_faces[group][:SHOWN],
            n_offenders=len(judge.matched_faces[group]),
        )


def _identified(judge: Judgement, settings: GateSettings) -> Iterator[Check]:
    """One-to-many: does a search of the gallery return the true identity first, above the threshold?"""
    limits = {"replaced": settings.max_identified_rate, "obscured": settings.max_identified_rate_obscured}
    for group, limit in limits.items():
        found, faces = judge.identified[group], judge.identified_faces[group]
        # A blank region matches a few originals by accident, and the nearest one is its own: one hit proves nothing.
        decisive = found.low if group == "obscured" else found.value
        detail = _found_first(judge, group, found)
        if group == "obscured" and found.hits:
            detail += " A single one can be an accident of blank regions; the lower confidence limit decides."
        yield Check(
            name=f"identified_{group}:{judge.recognizer}",
            question=f"Does a search find anyone by {'an obscured' if group == 'obscured' else 'a replaced'} face?",
            passed=decisive is None or decisive <= limit,
            decides=True,
            value=found.value,
            limit=limit,
            rate=found,
            detail=detail,
            offenders=faces[:SHOWN],
            n_offenders=len(faces),
        )


def _found_first(judge: Judgement, group: str, found: Rate) -> str:
    if not found.n:
        return "There was none to search for."
    matched = judge.mated[group].hits
    return (
        f"{judge.recognizer} matches {whole(matched)} of {whole(found.n)} to their own original, "
        f"{whole(found.hits)} of them before everybody else in the gallery ({percent(found.value)})."
    )


def _too_few(found: Rate, limit: float, confidence: float) -> str:
    """What a small number of faces cannot show (rule of three)."""
    if found.hits or limit <= 0.0 or limit >= 1.0 or found.n >= trials_for(limit, confidence):
        return ""
    bound, needed = percent(rule_of_three(found.n, confidence)), whole(trials_for(limit, confidence))
    return (
        f" {whole(found.n)} faces are too few for a claim of {percent(limit)}: "
        f"even without one match the true rate may be {bound}; {needed} faces would be needed."
    )


def _collisions(judge: Judgement, settings: GateSettings, rows: RunRows) -> Check:
    found = judge.collisions
    calibration = next((c for c in rows.calibrations if c.recognizer == judge.recognizer), None)
    strangers = calibration.strangers if calibration else None
    limit, passed = None, True
    detail = f"{judge.recognizer} matches {whole(found.hits)} of {whole(found.n)} new faces to somebody else."
    if not found.n:
        detail = "There was none to search for."
    if strangers is not None and strangers.value is not None:
        detail += f" Untouched faces of strangers do so in {percent(strangers.value)} of {whole(strangers.n)} searches."
        if settings.max_collision_excess is not None and found.value is not None:
            limit = strangers.value + settings.max_collision_excess
            passed = found.value <= limit
    else:
        detail += " Without subject labels there is nothing to hold it against."
    return Check(
        name=f"collision:{judge.recognizer}",
        question="Do new faces look like another real person?",
        passed=passed,
        decides=limit is not None,
        value=found.value,
        limit=limit,
        rate=found,
        detail=detail,
        offenders=judge.collided_faces[:SHOWN],
        n_offenders=len(judge.collided_faces),
    )


def _missed(measured: Measurements, settings: GateSettings) -> Check:
    check = count_check(
        "missed_faces",
        "Does a second detector find faces that were missed?",
        measured.missed_faces,
        settings.max_missed_faces,
        ("None.", "Unchanged faces that only the second detector sees"),
    )
    if measured.missed_upper is None:
        return check
    bound = (
        f" At {percent(settings.confidence)} confidence at most {rounded(measured.missed_upper * 10_000)} of 10,000 "
        "pictures hold a missed face of the kind that this detector can see."
    )
    bound += _of_any_kind(measured, measured.missed_upper)
    limit = settings.max_missed_per_10000
    if limit is not None:
        bound += f" {limit:g} are allowed."
    within = limit is None or measured.missed_upper * 10_000 <= limit
    return replace(check, passed=check.passed and within, detail=check.detail + bound)


def _of_any_kind(measured: Measurements, upper: float) -> str:
    """The bound on missed faces, as far as the second detector's own misses are known from the originals."""
    sees = measured.second_sees
    if sees is None or not sees.low:
        return ""
    per_10000 = rounded(min(1.0, upper / sees.low) * 10_000)
    return (
        f" It sees {percent(sees.value)} of the {whole(sees.n)} faces that the first one found in the originals; if "
        f"the two miss faces independently, at most {per_10000} of 10,000 hold a missed face of any kind."
    )


def _reconciled(measured: Measurements, settings: GateSettings) -> Check:
    offenders = (
        *(f"{key}: lost" for key in measured.lost),
        *(f"{key}: more than once" for key in measured.repeated),
        *(f"{key}: not in the source" for key in measured.unexpected),
    )
    check = count_check(
        "reconciled",
        "Is every sample in exactly one place?",
        offenders,
        0,
        ("Every one is in the output or withheld.", "Samples that are lost, repeated or unexpected"),
    )
    return replace(check, decides=settings.require_reconciled)
