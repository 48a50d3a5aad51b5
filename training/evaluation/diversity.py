"""How different from one another the new identities of one face are, at the same angle from the original."""

from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cfanet.errors import ConfigError
from training.evaluation.bench import Bench, Request
from training.evaluation.document import Cell, Table
from training.evaluation.quantities import mean, plain, proportion

_FMR = 1e-3


def evaluate_diversity(request: Request, identities: int) -> tuple[Path, Path]:
    """Run the experiment and write diversity.json and diversity.md."""
    if request.method != "cfa":
        raise ConfigError(f"method {request.method!r} makes no identities: evaluate diversity needs cfa")
    bench = Bench(request)
    samples = bench.chosen()
    subjects = bench.subjects(samples)
    tables = []
    for name, loop in bench.variants():
        rows: dict[str, list[list[np.ndarray]]] = {judge: [[] for _ in subjects] for judge in bench.judges}
        looks = {subject.sample.key: subject.look for subject in subjects}
        for seed in range(identities):
            maker = bench.maker(loop, looks, seed=seed)
            what = f"{name}, identity {seed + 1} of {identities}"
            for position, (subject, _, released) in enumerate(bench.release(maker, subjects, what)):
                if not released.replaced(subject.face):
                    continue  # obscured: no new identity
                five = subject.look.faces[subject.face].landmarks
                for judge in bench.judges:
                    rows[judge][position].append(bench.examiner.embed(judge, released.photo, five))
        tables.append(_table(name, bench, identities, rows))
    return bench.write("diversity", tables, {"pictures without a subject": len(samples) - len(subjects)})


def pairwise(rows: list[np.ndarray]) -> npt.NDArray[np.float64]:
    """Similarities of all pairs of unit vectors (d,); (N·(N − 1)/2,)."""
    wide = [row.astype(np.float64) for row in rows]
    return np.array([float(a @ b) for a, b in combinations(wide, 2)])


def _table(variant: str, bench: Bench, identities: int, rows: dict[str, list[list[np.ndarray]]]) -> Table:
    cells: list[list[Cell]] = []
    for judge, faces in rows.items():
        threshold = bench.examiner.recognizers[judge].threshold(_FMR)
        several = [pairwise(face) for face in faces if len(face) > 1]
        values = np.concatenate(several) if several else np.empty(0)
        below = proportion(int((values < threshold).sum()), len(values))
        by_face = mean([float((similarities < threshold).mean()) for similarities in several])
        quantile = plain(float(np.quantile(values, 0.95)) if len(values) else None, len(values))
        cells.append([judge, below, by_face, mean([float(s.mean()) for s in several]), quantile])
    return Table(
        f"Diversity: {variant}",
        f"{identities} identities of each face at {bench.settings.angle_deg:g}°, each drawn with another seed; all "
        f"pairs of one face compared at the original's landmarks, against the recognizer's threshold at FMR "
        f"{_FMR:g}. The interval of the first rate takes pairs as independent, which they are not; the second is over "
        "faces. Obscured faces are left out. Paper: pictures only.",
        ("recognizer", "pairs below the threshold", "the same by face", "mean similarity by face", "95 % quantile"),
        cells,
    )
