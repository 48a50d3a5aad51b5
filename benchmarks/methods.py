"""Methods side by side, with the audit's own measures: the weak ones must come out as weak.

    python -m benchmarks.methods LFW-DEV --out FOLDER [--pictures N] [--probes N] [--recognizer SPEC] [--method NAME]

The source is WebDataset shards with an `identity` in every `.json`. The subject of each chosen picture is looked at, at
its original's landmarks. What was computed is kept in FOLDER/cache.sqlite (biometric data), so that another method or a
new generator costs its own faces alone, and a run that was stopped goes on where it was.
"""

import argparse
import hashlib
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from audit.attacks.faces import Faces
from audit.attacks.linkage import linkage
from audit.attacks.parrot import parrot
from audit.attacks.reconstruction import reconstruction
from audit.calibration import Calibration, calibrate
from audit.config import AttackSettings
from audit.gallery import Gallery
from audit.pairs import Codes
from audit.search import search_people
from benchmarks.weak import weak_blur, weak_pixelate
from cfanet.config import AnonymizeSettings
from cfanet.errors import CfanetError
from cfanet.images import Picture, encode
from cfanet.records import Embeddings
from cfanet.search import References, pair_similarity
from training.evaluation.anonymized import Maker, PictureMaker, without_loop
from training.evaluation.bench import Bench, Request, Subject
from training.evaluation.document import Cell, Table, write_document
from training.evaluation.faces import Look
from training.evaluation.progress import progress
from training.evaluation.quantities import NotMeasured, plain, proportion
from training.evaluation.samples import Photo, Sample

FMRS = (1e-3, 1e-4)
WEAK = {"blur, 3 px": weak_blur, "pixelate, 8 px": weak_pixelate}
OWN = {"blur": "blur, cfanet's", "pixelate": "pixelate, cfanet's", "mask": "mask"}
GENERATOR = "generator"
DEFAULT_METHODS = (*WEAK, "mask", GENERATOR)
ATTACKERS = {"linkage": linkage, "parrot": parrot, "reconstruction": reconstruction}
# Shares of pictures of people with four each (for the attacker that learns), with two, and with one: thresholds need
# many people, attackers need many pictures of each.
GALLERY_SHARES = ((4, 0.4), (2, 0.1), (1, 0.5))
PROBE_SHARES = ((4, 0.8), (2, 0.2))


@dataclass(frozen=True, eq=False)
class Released:
    """What one method made of the subjects, in their order."""

    method: str
    embeddings: Mapping[str, Embeddings]  # recognizer -> (N, d)
    replaced: Codes  # (N,) 1 where the face got a new one; methods that only obscure have 1 everywhere


def choose(samples: Sequence[Sample], n: int, shares: Sequence[tuple[int, float]]) -> list[Sample]:
    """About `n` pictures of many people, by a hash of their names; a person with more pictures has some left out."""
    by_person: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        if sample.identity:
            by_person[sample.identity].append(sample)
    people = sorted(by_person, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    chosen: list[Sample] = []
    for each, share in shares:
        fitting = [p for p in people if each <= len(by_person[p]) < 2 * each or (each == 4 and len(by_person[p]) >= 4)]
        for person in fitting[: round(share * n / each)]:
            chosen += sorted(by_person[person], key=lambda sample: sample.key)[:each]
    return sorted(chosen, key=lambda sample: sample.key)


class Comparison:
    """The subjects, their originals' embeddings and thresholds; and every method tried on them."""

    def __init__(self, bench: Bench, pictures: int, probes: int) -> None:
        """Find and embed about `pictures` originals; about `probes` of them are to be anonymized."""
        self.bench = bench
        samples = choose(bench.samples, pictures, GALLERY_SHARES)
        self.looks: dict[str, Look] = bench.looks(samples)
        known = [sample for sample in samples if self.looks[sample.key].subject is not None]
        raw = bench.embeddings(known, self.looks)
        keys, people = tuple(s.key for s in known), tuple(s.identity for s in known)
        self.galleries = {
            judge: Gallery(References(keys, np.stack([raw[judge][key] for key in keys])), people)
            for judge in bench.judges
        }
        self.calibrations: dict[str, Calibration] = {
            judge: calibrate(bench.examiner.recognizers[judge], gallery, FMRS[0], fmrs=FMRS)
            for judge, gallery in self.galleries.items()
        }
        self.subjects = [Subject(s, self.looks[s.key]) for s in choose(known, probes, PROBE_SHARES)]
        position = {key: row for row, key in enumerate(keys)}
        self.rows = np.array([position[subject.sample.key] for subject in self.subjects])  # in the galleries

    def released(self, method: str) -> Released:
        """Anonymize every subject's picture and look at it again."""
        rows: dict[str, list[np.ndarray]] = {judge: [] for judge in self.bench.judges}
        replaced = []
        for subject, photo, new in self._photos(method):
            replaced.append(new)
            original = subject.look.faces[subject.face]
            for judge in self.bench.judges:
                rows[judge].append(self.bench.examiner.embed(judge, photo, original.landmarks))
        return Released(method, {judge: np.stack(found) for judge, found in rows.items()}, np.array(replaced, np.int64))

    def _photos(self, method: str) -> Iterator[tuple[Subject, Photo, bool]]:
        """(subject, released picture, whether the subject has a new face or was treated by another method)."""
        quality = self.bench.settings.jpeg_quality
        if method in WEAK:
            for subject in progress(self.subjects, method):
                raw = subject.sample.photo()
                pixels = raw.picture.pixels
                for face in subject.look.faces:
                    pixels = WEAK[method](pixels, face.box)
                yield subject, Photo(encode(Picture(pixels, raw.picture.format), quality)), True
            return
        for subject, _, made in self.bench.release(self._maker(method), self.subjects, method):
            yield subject, made.photo, method != GENERATOR or made.replaced(subject.face)

    def _maker(self, method: str) -> PictureMaker:
        if method == GENERATOR:
            return self.bench.maker("on", self.looks)
        settings = AnonymizeSettings.model_validate({"method": method})
        return Maker(self.bench.cache, without_loop(settings), 0, {}, self.bench.request.device)


def recognition(compared: Comparison, judge: str, results: Sequence[Released]) -> Table:
    """One row a method: matched to the own original, to others, first in a search, collisions."""
    calibration, gallery = compared.calibrations[judge], compared.galleries[judge]
    thresholds = {point.fmr: point.threshold for point in calibration.points}
    strangers = calibration.strangers
    rows: list[list[Cell]] = [
        [
            "untouched: another picture of the person",
            *(proportion(p.true_match.hits, p.true_match.n) if p.supported else NotMeasured(p.reason)
              for p in calibration.points),
            proportion(calibration.false_match.hits, calibration.false_match.n),
            "–",
            proportion(strangers.hits, strangers.n),
        ]
    ]  # fmt: skip
    for name, embeddings, kept in _rows(results, judge):
        own = pair_similarity(embeddings, gallery.references.embeddings[compared.rows[kept]])
        people = [compared.subjects[i].sample.identity for i in kept]
        keys = [compared.subjects[i].sample.key for i in kept]
        found = search_people(embeddings, gallery, people, keys)
        row: list[Cell] = [name]
        for point in calibration.points:
            limit = thresholds[point.fmr]
            row.append(NotMeasured(point.reason) if limit is None else proportion(int((own >= limit).sum()), len(own)))
        row.append(_by_chance(embeddings, gallery, people, calibration.threshold))
        row.append(proportion(int((found.rank == 1).sum()), len(own)))
        row.append(proportion(int((found.best_other >= calibration.threshold).sum()), len(own)))
        rows.append(row)
    return Table(
        f"Recognised by {judge}",
        f"Each released face against its own original, at thresholds from these people's originals "
        f"({calibration.reason}). By chance: the same released faces against originals of *other* people; a mated rate "
        "means something only above it. Rank 1: the person comes first in a search of all originals, the own one "
        "included. Collision: the best match among other people reaches the threshold.",
        ("method", *(f"matched at FMR {fmr:g}" for fmr in FMRS), "by chance", "rank 1", "collision"),
        rows,
    )


def attackers(compared: Comparison, judge: str, results: Sequence[Released]) -> Table:
    """One row a method and attacker, with both controls."""
    rows: list[list[Cell]] = []
    settings = AttackSettings()
    for name, embeddings, kept in _rows(results, judge):
        originals = compared.galleries[judge].references.embeddings[compared.rows[kept]]
        faces = Faces(judge, embeddings, originals, tuple(compared.subjects[i].sample.identity for i in kept))
        for attacker, attack in ATTACKERS.items():
            found = {result.role: result for result in attack(faces, settings)}
            if not found["attack"].n:
                rows.append([name, attacker, *[NotMeasured(found["attack"].detail)] * 3, "–"])
                continue
            cells = [proportion(found[role].hits, found[role].n) for role in
                     ("attack", "positive_control", "negative_control")]  # fmt: skip
            rows.append([name, attacker, *cells, plain(found["attack"].chance, found["attack"].n)])
    return Table(
        f"Attackers that learn, with {judge}",
        "Linkage: pairs of released faces of one person above the similarity that 1 % of pairs of two people reach. "
        "Parrot: a linear head, taught two released pictures of each person, names the other two. Reconstruction: a "
        "linear map from released to original, learned on half of the people; success is the own original first. The "
        "positive control gives the same attacker something to find, the negative one shuffles what he is taught.",
        ("method", "attacker", "success", "positive control", "negative control", "chance"),
        rows,
    )


def _rows(results: Sequence[Released], judge: str) -> Iterator[tuple[str, Embeddings, Codes]]:
    """(name, embeddings, positions of the subjects): the generator's new faces alone, and with those obscured."""
    for result in results:
        everyone = np.arange(len(result.replaced))
        if result.replaced.all():
            yield OWN.get(result.method, result.method), result.embeddings[judge], everyone
            continue
        new = np.flatnonzero(result.replaced)
        if len(new):
            yield f"{result.method}: new faces", result.embeddings[judge][new], new
        yield f"{result.method}: all, {len(everyone) - len(new)} obscured", result.embeddings[judge], everyone


def _by_chance(embeddings: Embeddings, gallery: Gallery, people: Sequence[str], threshold: float) -> Cell:
    """How many comparisons with originals of other people reach the threshold."""
    scores = embeddings @ gallery.references.embeddings.T
    others = np.array(people)[:, None] != np.array(gallery.subjects)[None, :]
    return proportion(int((scores[others] >= threshold).sum()), int(others.sum()))


def run(request: Request, pictures: int, probes: int, methods: Sequence[str]) -> tuple[Path, Path]:
    """Try every method and write methods.json and methods.md."""
    compared = Comparison(Bench(request), pictures, probes)
    results = [compared.released(method) for method in methods]
    tables = [make(compared, judge, results) for judge in compared.bench.judges for make in (recognition, attackers)]
    gallery = next(iter(compared.galleries.values()))
    facts = {
        "experiment": "python -m benchmarks.methods",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "data": [shard.name for shard in compared.bench.shards],
        "originals": f"{len(gallery.subjects)} of {len(set(gallery.subjects))} people",
        "anonymized": f"{len(compared.subjects)} of {len({s.sample.identity for s in compared.subjects})} people",
        "generator SHA-256": Maker(
            compared.bench.cache, request.settings, 0, {}, request.device
        ).anonymizer.model_digest,
        "recognizers": {name: compared.bench.examiner.recognizers[name].digest for name in compared.bench.judges},
        "intervals": "Clopper–Pearson 95 %, as if faces were independent; several show the same person",
    }
    return write_document(request.out, "methods", facts, tables)


def main() -> int:
    """Run the comparison; the exit code is that of an error's kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder of shards, one shard, or a quoted pattern")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to; holds biometric data afterwards")
    parser.add_argument("--pictures", type=int, default=1_000, help="originals in thresholds and searches, about")
    parser.add_argument("--probes", type=int, default=500, help="of them anonymized by every method, about")
    parser.add_argument("--recognizer", action="append", help="repeatable; default: dlib")
    parser.add_argument("--method", action="append", choices=(*WEAK, *OWN, GENERATOR), help="repeatable")
    parser.add_argument("--generator", default="default", help="a .safetensors file")
    given = parser.parse_args()
    judges = tuple(given.recognizer or ["dlib"])
    try:
        request = Request(given.source, given.out, judges, generator=given.generator)
        paths = run(request, given.pictures, given.probes, given.method or DEFAULT_METHODS)
    except CfanetError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(paths[1].read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
