"""Thresholds, folds and ranks, against scikit-learn and against counting by hand."""

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from training.evaluation.protocol import (
    FoldScores,
    accepted_by_fold,
    best_threshold,
    fold_accuracies,
    fold_thresholds,
    impostor_scores,
    rank_of,
    threshold_at_far,
)


@pytest.mark.parametrize("far", [1e-1, 1e-2, 1e-3, 1e-4])
def test_tpr_at_far_is_that_of_the_roc_curve(far: float) -> None:
    rng = np.random.default_rng(3)
    impostors, genuine = rng.normal(0.0, 0.1, 5000), rng.normal(0.4, 0.15, 700)
    threshold = threshold_at_far(impostors, far)
    assert (impostors >= threshold).mean() <= far < ((impostors >= threshold).sum() + 1) / len(impostors)
    fpr, tpr, _ = roc_curve(
        np.r_[np.zeros(len(impostors)), np.ones(len(genuine))], np.r_[impostors, genuine], drop_intermediate=False
    )
    assert (genuine >= threshold).mean() == pytest.approx(tpr[fpr <= far].max())


def test_equal_impostors_are_refused_together() -> None:
    scores = np.array([0.1, 0.5, 0.5, 0.5])
    assert (scores >= threshold_at_far(scores, 0.25)).sum() == 0
    assert (scores >= threshold_at_far(scores, 0.75)).sum() == 3
    assert (scores >= threshold_at_far(scores, 1.0)).all()
    with pytest.raises(ValueError, match="no impostor pairs"):
        threshold_at_far(np.empty(0), 0.1)


def test_impostors_are_all_pairs_of_different_labelled_people() -> None:
    rng = np.random.default_rng(0)
    people = [*(f"p{n % 700}" for n in range(1100)), ""]
    rows = rng.normal(size=(len(people), 8)).astype(np.float32)
    unit = rows.astype(np.float64) / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    i, j = np.triu_indices(1100, k=1)
    apart = np.array(people)[i] != np.array(people)[j]
    expected = np.sort((unit[i] * unit[j]).sum(-1)[apart])
    found = np.sort(impostor_scores(rows, people))
    assert len(expected) == 1100 * 1099 // 2 - 400
    assert np.allclose(found, expected)
    assert not len(impostor_scores(rows[:2], ["", ""]))


def test_a_fold_never_sees_its_own_impostors() -> None:
    similarity = np.array([0.9, 0.1, 0.2, 0.1, 0.8, 0.15])
    same = np.array([False, False, False, False, True, True])
    fold = np.array([0, 0, 1, 1, 0, 1])
    pairs = FoldScores(similarity, same, fold)
    thresholds = fold_thresholds(pairs, 1e-3)
    by_fold = dict(thresholds.by_fold)
    assert 0.2 < by_fold[0] < 0.21 and 0.9 < by_fold[1] < 0.91
    assert thresholds.n_impostors == 2
    assert accepted_by_fold(pairs, thresholds) == [(1, 1), (0, 1)]


def test_missing_faces_are_in_no_count() -> None:
    similarity = np.array([0.1, 0.1, 0.9, np.nan, 0.9, np.nan])
    same = np.array([False, False, True, True, True, False])
    pairs = FoldScores(similarity, same, np.array([0, 1, 0, 0, 1, 1]))
    assert accepted_by_fold(pairs, fold_thresholds(pairs, 0.1)) == [(1, 1), (1, 1)]
    assert fold_accuracies(pairs) == [(2, 2), (2, 2)]


def test_the_best_threshold_is_that_of_an_exhaustive_search() -> None:
    rng = np.random.default_rng(5)
    for _ in range(50):
        scores, same = rng.integers(0, 12, 30) / 12.0, rng.random(30) < 0.5
        found = ((scores >= best_threshold(scores, same)) == same).sum()
        candidates = [*scores, scores.max() + 1]
        assert found == max(((scores >= t) == same).sum() for t in candidates)


def test_rank_counts_equal_strangers_first() -> None:
    similarities = np.array([0.9, 0.5, 0.5, 0.1])
    assert rank_of(similarities, np.array([True, False, False, False])) == 1
    assert rank_of(similarities, np.array([False, True, False, False])) == 3
    assert rank_of(similarities, np.array([False, True, True, True])) == 2
    with pytest.raises(ValueError, match="no mate"):
        rank_of(similarities, np.zeros(4, dtype=bool))
