import numpy as np
import pytest

from audit.gallery import Gallery
from audit.search import best_of_others, own_similarity, true_ranks
from cfanet.search import References
from tests.audit.fakes import unit

IDS = tuple(f"k{i}#0" for i in range(60))
# Ten people with five pictures each, one with nine, and one face that nobody labelled.
SUBJECTS = tuple([f"s{i // 5}" for i in range(50)] + ["big"] * 9 + [""])


@pytest.fixture(name="gallery")
def _gallery() -> Gallery:
    return Gallery(References(IDS, unit(np.random.default_rng(1), 60)), SUBJECTS)


def _brute(gallery: Gallery, query: np.ndarray, subject: str, own_id: str) -> tuple[float, int, float, int]:
    scores = gallery.references.embeddings.astype(np.float64) @ query.astype(np.float64)
    own = np.array([i == own_id or (bool(subject) and s == subject) for i, s in zip(IDS, SUBJECTS, strict=True)])
    others = np.where(own, -2.0, scores)
    mine = scores[own].max() if own.any() else np.nan
    return others.max(), int(others.argmax()), mine, 1 + int((others > mine).sum())


def test_searches_agree_with_a_plain_loop(gallery: Gallery) -> None:
    queries = unit(np.random.default_rng(2), 40)
    queries[:12] = gallery.references.embeddings[48:60]  # own references first: the search must look deeper
    subjects = [SUBJECTS[48 + i] if i < 12 else SUBJECTS[i] for i in range(40)]
    own_ids = [IDS[48 + i] if i < 12 else IDS[i] for i in range(40)]
    best, position = best_of_others(queries, gallery, subjects, own_ids)
    own = own_similarity(queries, gallery, subjects, own_ids)
    ranks = true_ranks(queries, gallery, subjects, own_ids, own)
    assert len(best) == 40
    for row in range(40):
        similarity, where, mine, rank = _brute(gallery, queries[row], subjects[row], own_ids[row])
        assert best[row] == pytest.approx(similarity, abs=1e-6)
        assert (position[row], ranks[row]) == (where, rank)
        assert own[row] == pytest.approx(mine, abs=1e-6)


def test_nobody_else_is_told_apart_from_a_weak_match() -> None:
    alone = Gallery(References(("a#0", "a#1"), unit(np.random.default_rng(1), 2)), ("s", "s"))
    best, position = best_of_others(unit(np.random.default_rng(2), 1), alone, ["s"], ["a#0"])
    assert (best[0], position[0]) == (-1.0, -1)
    empty = Gallery(References((), np.zeros((0, 16), np.float32)), ())
    assert best_of_others(unit(np.random.default_rng(2), 1), empty, [""], ["a#0"])[1][0] == -1


def test_an_unenrolled_face_has_no_rank(gallery: Gallery) -> None:
    query = unit(np.random.default_rng(2), 1)
    own = own_similarity(query, gallery, [""], ["elsewhere#0"])
    assert np.isnan(own[0])
    assert true_ranks(query, gallery, [""], ["elsewhere#0"], own)[0] == 0


def test_an_unlabelled_face_is_only_its_own_reference(gallery: Gallery) -> None:
    query = gallery.references.embeddings[59:60]
    assert own_similarity(query, gallery, [""], [IDS[59]])[0] == pytest.approx(1.0, abs=1e-6)
    assert true_ranks(query, gallery, [""], [IDS[59]], np.array([1.0]))[0] == 1
