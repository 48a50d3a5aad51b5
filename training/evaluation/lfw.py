"""Tables 1 and 2: can the right picture of a pair, anonymized, still be matched with its untouched left one?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from cfanet.errors import InputError
from cfanet.search import pair_similarity
from training.evaluation.bench import Bench, Request, Subject
from training.evaluation.document import Cell, Table
from training.evaluation.faces import Look
from training.evaluation.pairs import Pair, first_of_each_fold, read_pairs
from training.evaluation.parallel import run_jobs
from training.evaluation.protocol import (
    FoldScores,
    accepted_by_fold,
    fold_accuracies,
    fold_thresholds,
    impostor_scores,
    threshold_at_far,
)
from training.evaluation.published import KNOWN_RAW
from training.evaluation.quantities import Measured, mean, plain, proportion
from training.evaluation.ranks import Probe, rank_tables, search_all
from training.evaluation.samples import Sample

FARS = (1e-3, 1e-4)
PAPER_FAR = 1e-3
LISTED = "FAR 0.001, different pairs of the list"
PAPER_RAW, PAPER = "0.986±0.010 / 0.965±0.016", "0.012±0.005 / 0.010±0.007"
FAR_CURVE = np.logspace(-5, 0, 101)  # for drawing alone
Embedded = Mapping[str, np.ndarray]  # sample key → (d,) float32 unit-norm


@dataclass(eq=False)
class Attack:
    """What an attacker gets from the pictures of one variant, by recognizer and sample key."""

    found: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)  # detected again in the released picture
    placed: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)  # at the original's landmarks
    replaced: dict[str, bool] = field(default_factory=dict)  # got a new face; else it was obscured
    attempts: list[int] = field(default_factory=list)


def evaluate_lfw(request: Request, pairs_file: Path, everyone: bool = False) -> tuple[Path, Path]:
    """Run the experiment and write lfw.json, .md and .npz; with `everyone`, Table 2 also has people without a pair."""
    bench = Bench(request)
    by_key = {sample.key: sample for sample in bench.samples}
    every = read_pairs(pairs_file, by_key)
    pairs = first_of_each_fold(every, request.limit)
    untouched = every if request.whole_gallery else pairs
    gallery = _gallery(bench, pairs)
    looks = bench.looks(gallery)
    _check_impostors(untouched, looks)
    raw = bench.embeddings(gallery, looks)
    subjects = _probes(gallery, pairs, looks, everyone)
    limits = {name: _limits(raw[name], by_key, untouched) for name in bench.judges}
    tables = [_raw_table(bench, limits)]
    drawn: dict[str, np.ndarray] = {}
    for judge in bench.judges:
        drawn |= pair_arrays(f"{judge}|raw", limits[judge].pairs)
        drawn[f"{judge}|far"] = np.array([FAR_CURVE, limits[judge].curve])
    for name, loop in bench.variants():
        attack = _attack(bench, subjects, loop, looks, name)
        tables += [_table_one(name, bench, pairs, raw, attack, limits), _fates(name, attack, bench.conditions(loop))]
        for judge in bench.judges:
            mated = [pair for pair in pairs if pair.same]
            drawn |= pair_arrays(f"{judge}|{name}", pair_scores(mated, raw[judge], attack.placed[judge]))
            probes = [
                Probe(s.sample.key, s.sample.identity, raw[judge][s.sample.key], attack.placed[judge][s.sample.key])
                for s in subjects
            ]
            keys = [sample.key for sample in gallery if sample.key in raw[judge]]
            people = [by_key[key].identity for key in keys]
            rows = np.stack([raw[judge][key] for key in keys])
            searches = search_all(probes, keys, people, rows)
            tables += rank_tables(f"{name}, {judge}", searches, limits[judge].thresholds[0], bench.conditions(loop))
            drawn[f"{judge}|{name}|rank before"] = np.array([f.rank or 0 for f in searches.before])
            drawn[f"{judge}|{name}|rank after"] = np.array([f.rank_own for f in searches.after])
    unreadable = [key for key, look in looks.items() if look.unreadable]
    notes = {
        "pairs": pairs_file.name,
        "pairs used": f"{sum(p.same for p in pairs)} same",
        "untouched pairs": f"{sum(p.same for p in untouched)} same, {sum(not p.same for p in untouched)} different",
        "raw pictures without a subject": [k for k, look in looks.items() if look.subject is None],
        "unreadable pictures": unreadable,
    }
    return bench.write("lfw", tables, notes, drawn)


def prepare_lfw(request: Request, pairs_file: Path, workers: int) -> None:
    """Make the released pictures of the experiment, and look at them, in `workers` processes: then all is in the cache.

    What other experiments do with the same pictures is quick after that. The originals should have been prepared.
    """
    run_jobs([partial(_prepare, request, pairs_file, part, workers) for part in range(workers)], workers)


def _prepare(request: Request, pairs_file: Path, part: int, parts: int) -> None:
    bench = Bench(request)
    pairs = first_of_each_fold(read_pairs(pairs_file, {sample.key for sample in bench.samples}), request.limit)
    gallery = _gallery(bench, pairs)
    looks = bench.looks(gallery)
    subjects = _probes(gallery, pairs, looks, False)[part::parts]
    for name, loop in bench.variants():
        _attack(bench, subjects, loop, looks, name)


def pair_arrays(name: str, pairs: FoldScores) -> dict[str, np.ndarray]:
    """The pairs' similarities for whoever draws them: `<name>|genuine` and `<name>|impostor`."""
    known = ~np.isnan(pairs.similarity)
    genuine, impostor = pairs.similarity[pairs.same & known], pairs.similarity[~pairs.same & known]
    return {f"{name}|genuine": genuine, f"{name}|impostor": impostor}


@dataclass(frozen=True)
class Limits:
    """What untouched pictures say of a recognizer: thresholds from all their impostor pairs, one per FAR."""

    thresholds: tuple[float, ...]
    n_impostors: int
    curve: np.ndarray  # one per FAR_CURVE
    pairs: FoldScores  # of the untouched pairs, from which the folds' thresholds come


def _gallery(bench: Bench, pairs: Sequence[Pair]) -> list[Sample]:
    """Every picture; with a limit only those of the pairs, unless the request wants all."""
    if bench.request.limit is None or bench.request.whole_gallery:
        return list(bench.samples)
    named = {key for pair in pairs for key in (pair.left, pair.right)}
    return [sample for sample in bench.samples if sample.key in named]


def _check_impostors(pairs: Sequence[Pair], looks: Mapping[str, Look]) -> None:
    """InputError where a fold would get no threshold: no different pair with both faces in any other fold."""
    usable = {
        pair.fold
        for pair in pairs
        if not pair.same and looks[pair.left].subject is not None and looks[pair.right].subject is not None
    }
    if len(usable) < 2:
        raise InputError(
            f"only {len(usable)} folds have a different pair in which both faces were found, and a fold's threshold "
            "comes from the others: give more pairs, or a higher --limit"
        )


def _probes(
    gallery: Sequence[Sample], pairs: Sequence[Pair], looks: Mapping[str, Look], everyone: bool
) -> list[Subject]:
    """The pictures to anonymize: right ones of same pairs, and of people without one their first picture."""
    rights = {pair.right for pair in pairs if pair.same}
    seen = {sample.identity for sample in gallery if sample.key in rights}
    chosen = []
    for sample in gallery:
        first = everyone and sample.identity and sample.identity not in seen
        if (sample.key in rights or first) and looks[sample.key].subject is not None:
            chosen.append(Subject(sample, looks[sample.key]))
            seen.add(sample.identity)
    return chosen


def _limits(raw: Embedded, by_key: Mapping[str, Sample], pairs: Sequence[Pair]) -> Limits:
    scores = impostor_scores(np.stack(list(raw.values())), [by_key[key].identity for key in raw])
    thresholds = tuple(threshold_at_far(scores, far) for far in FARS)
    return Limits(thresholds, len(scores), np.quantile(scores, 1.0 - FAR_CURVE), pair_scores(pairs, raw, raw))


def _attack(bench: Bench, subjects: Sequence[Subject], loop: str, looks: Mapping[str, Look], what: str) -> Attack:
    attack = Attack({name: {} for name in bench.judges}, {name: {} for name in bench.judges})
    for subject, _, released in bench.release(bench.maker(loop, looks), subjects, what):
        key, original = subject.sample.key, subject.look.faces[subject.face]
        again = bench.observer.again(released.photo, original.box)
        attack.replaced[key] = released.replaced(subject.face)
        attack.attempts.append(released.fates[subject.face].attempts)
        for name in bench.judges:
            attack.placed[name][key] = bench.examiner.embed(name, released.photo, original.landmarks)
            if again is not None and again.landmarks is not None:
                attack.found[name][key] = bench.examiner.embed(name, released.photo, again.landmarks)
    return attack


def pair_scores(pairs: Sequence[Pair], left: Embedded, right: Embedded) -> FoldScores:
    """Similarity of every pair; NaN where either face is missing."""
    scores = np.full(len(pairs), np.nan)
    for position, pair in enumerate(pairs):
        if pair.left in left and pair.right in right:
            scores[position] = pair_similarity(left[pair.left][None], right[pair.right][None])[0]
    return FoldScores(scores, np.array([p.same for p in pairs]), np.array([p.fold for p in pairs]))


def _raw_table(bench: Bench, limits: Mapping[str, Limits]) -> Table:
    rows: list[list[Cell]] = []
    for name in bench.judges:
        scores = limits[name].pairs
        right = fold_accuracies(scores)
        missing = proportion(int(np.isnan(scores.similarity).sum()), len(scores.same))
        measure = "accuracy, best threshold of the other folds"
        accuracy, tpr = KNOWN_RAW.get(name, ("", ""))
        rows.append([name, measure, "", _pooled(right), _folds(right), "", accuracy, missing])
        rows.append([name, LISTED, *_listed(scores), "", "", tpr, missing])
        for row in _tpr_rows(name, scores, limits[name], missing, PAPER_RAW):
            rows.append([*row[:-1], "", row[-1]])
    mated = int(limits[bench.judges[0]].pairs.same.sum()) if bench.judges else 0
    return Table(
        "Raw pictures: the check of the protocol",
        f"{mated:,} same pairs and as many of different people, both pictures untouched. Thresholds: from the list's "
        "different pairs; folds: from those of all other folds; all pairs: from every pair of different people in the "
        "gallery, which is harder on the recognizer. A threshold is the smallest similarity that at most FAR·n "
        "impostors reach. Pairs with a picture without subject are left out and counted in the last column. Paper: "
        "FaceNet VGGFace2 / CASIA, ten folds. Known: of this recognizer, ten folds, elsewhere.",
        ("recognizer", "measure", "threshold", "pooled", "mean over folds", "paper", "known", "failures to acquire"),
        rows,
    )


def _listed(scores: FoldScores) -> list[Cell]:
    """Threshold from the list's own different pairs, and the same pairs that reach it."""
    known = np.isfinite(scores.similarity)
    impostors, genuine = scores.similarity[known & ~scores.same], scores.similarity[known & scores.same]
    threshold = threshold_at_far(impostors, PAPER_FAR)
    label = f"{threshold:.4f} ({len(impostors):,} impostors{_weak(PAPER_FAR, len(impostors))})"
    return [label, proportion(int((genuine >= threshold).sum()), len(genuine))]


def _table_one(
    variant: str,
    bench: Bench,
    pairs: Sequence[Pair],
    raw: Mapping[str, Embedded],
    attack: Attack,
    limits: Mapping[str, Limits],
) -> Table:
    rows: list[list[Cell]] = []
    mated = [pair for pair in pairs if pair.same]
    for name in bench.judges:
        for how, embedded in (
            ("detected again", attack.found[name]),
            ("at the original's landmarks", attack.placed[name]),
        ):
            scores = pair_scores(mated, raw[name], embedded)
            acquired = [p for p in mated if p.left in raw[name] and p.right in attack.placed[name]]
            failed = proportion(sum(p.right not in embedded for p in acquired), len(acquired))
            paper = PAPER if variant.startswith("cfa") else ""
            rows += [[name, how, *row[1:]] for row in _tpr_rows(name, scores, limits[name], failed, paper)]
    return Table(
        f"Table 1: {variant}",
        f"The right picture of each of {len(mated):,} same pairs anonymized, encoded, decoded, compared with the "
        "untouched left one. Thresholds from raw impostor pairs, as above. `detected again`: by MTCNN as it comes, in "
        "the released file; faces no longer detected are failures to detect, left out of the TPR and counted. `at the "
        "original's landmarks`: an attacker who knows where the face was; no failures. Paper: FaceNet VGGFace2 / "
        "CASIA, ten folds.",
        ("recognizer", "attacker", "TPR at", "threshold", "pooled", "mean over folds", "paper", "failures to detect"),
        rows,
    )


def _tpr_rows(name: str, probe: FoldScores, limits: Limits, missing: Measured, paper: str) -> list[list[Cell]]:
    """Rows of recognizer, measure, threshold, pooled, folds, paper, missing: both kinds of thresholds at every FAR."""
    rows: list[list[Cell]] = []
    genuine = probe.similarity[probe.same & ~np.isnan(probe.similarity)]
    for far, threshold in zip(FARS, limits.thresholds, strict=True):
        folds = fold_thresholds(limits.pairs, far)
        counts = accepted_by_fold(probe, folds)
        weak = _weak(far, folds.n_impostors)
        between = [value for _, value in folds.by_fold]
        shown = f"{min(between):.4f} to {max(between):.4f} ({folds.n_impostors:,} impostors{weak})"
        known = paper if far == PAPER_FAR else ""
        rows.append([name, f"FAR {far:g}, folds", shown, _pooled(counts), _folds(counts), known, missing])
        weak = _weak(far, limits.n_impostors)
        every = proportion(int((genuine >= threshold).sum()), len(genuine))
        label = f"{threshold:.4f} ({limits.n_impostors:,} impostors{weak})"
        rows.append([name, f"FAR {far:g}, all pairs", label, every, "", known, missing])
    return rows


def _weak(far: float, n_impostors: int) -> str:
    return "" if far * n_impostors >= 1 else ", too few impostors for this FAR"


def _fates(variant: str, attack: Attack, conditions: str) -> Table:
    subjects = len(attack.replaced)
    replaced = proportion(sum(attack.replaced.values()), subjects)
    return Table(
        f"What was done: {variant}",
        f"Subjects of the anonymized pictures. A face that was not replaced is obscured. Classic methods obscure all "
        f"faces. {conditions}",
        ("subjects", "replaced", "mean attempts", "largest number of attempts"),
        [[str(subjects), replaced, mean(attack.attempts), plain(float(max(attack.attempts)), subjects)]],
    )


def _pooled(counts: Sequence[tuple[int, int]]) -> Measured:
    return proportion(sum(hits for hits, _ in counts), sum(n for _, n in counts))


def _folds(counts: Sequence[tuple[int, int]]) -> Measured:
    return mean([hits / n for hits, n in counts if n])
