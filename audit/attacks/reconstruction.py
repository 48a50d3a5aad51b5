"""The reconstruction attacker: learns to undo the anonymizer, from released embeddings back to the originals'.

He is given half of the people (or pictures, where nobody is labelled) with their originals, fits one linear map by
ridge regression, and applies it to faces of the other half. A success is a face whose reconstruction is nearer to its
own original than to any other original of that half. He reconstructs templates, not pictures, and his map is linear:
a deep network may do better. Positive control: originals turned by a secret rotation with a little noise, which is an
invertible anonymizer. Negative control: a map learned from shuffled pairs.
"""

import numpy as np
import numpy.typing as npt

from audit.attacks.faces import Faces, codes_of
from audit.attacks.ridge import Matrix, fit, predict
from audit.config import AttackSettings
from audit.records import AttackResult

_NOISE = 0.02


def reconstruction(faces: Faces, settings: AttackSettings) -> list[AttackResult]:
    """The attack and its controls; one result with n = 0 and the reason where the data are too few."""
    train = _half(faces, settings.seed)
    n_train, n_test = int(train.sum()), int((~train).sum())
    if n_train < settings.min_pairs // 2 or n_test < settings.min_pairs // 2:
        reason = f"skipped: {len(faces)} released faces have an original, {settings.min_pairs} are needed"
        return [AttackResult("reconstruction", faces.recognizer, "attack", 0, 0, 0.0, reason)]
    random = np.random.default_rng(settings.seed)
    released, originals = faces.released.astype(np.float64), faces.originals.astype(np.float64)
    rotation, _ = np.linalg.qr(random.standard_normal((originals.shape[1],) * 2))
    turned = originals @ rotation + _NOISE * random.standard_normal(originals.shape)
    mixed = random.permutation(np.flatnonzero(train))
    done = f"a linear map learned from {n_train} pairs, {n_test} originals to choose from"
    results = []
    for role, inputs, taught, words in (
        ("attack", released, np.flatnonzero(train), f"released faces: {done}"),
        ("positive_control", turned, np.flatnonzero(train), f"originals under a secret rotation: {done}"),
        ("negative_control", released, mixed, f"pairs shuffled: {done}"),
    ):
        weights = fit(inputs[train], originals[taught])
        hits = _nearest_is_own(predict(weights, inputs[~train]), originals[~train])
        results.append(
            AttackResult("reconstruction", faces.recognizer, role, hits, n_test, 1.0 / n_test, words)  # type: ignore[arg-type]
        )
    return results


def _half(faces: Faces, seed: int) -> npt.NDArray[np.bool_]:
    """True for the faces of a random half of the people; every unlabelled face is a person of its own."""
    codes = codes_of(faces.subjects)
    unknown = codes < 0
    codes[unknown] = codes.max(initial=-1) + 1 + np.arange(int(unknown.sum()))
    order = np.random.default_rng(seed).permutation(int(codes.max(initial=-1)) + 1)
    result: npt.NDArray[np.bool_] = order[codes] % 2 == 0 if len(codes) else np.zeros(0, dtype=bool)
    return result


def _nearest_is_own(rebuilt: Matrix, originals: Matrix) -> int:
    """How many rows of `rebuilt` (N, d) have the original of the same row as their most similar one."""
    unit = rebuilt / np.linalg.norm(rebuilt, axis=1, keepdims=True).clip(1e-12)
    hits = 0
    for start in range(0, len(unit), 512):
        nearest = (unit[start : start + 512] @ originals.T).argmax(axis=1)
        hits += int((nearest == np.arange(start, start + len(nearest))).sum())
    return hits
