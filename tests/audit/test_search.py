import numpy as np
import pytest

from audit.gallery import Gallery
from audit.search import _count, search_people
from cfanet.search import References, pair_similarity
from tests.audit.fakes import unit

IDS = tuple(f"k{i}#0" for i in range(60))
# Ten people with five pictures each, one with nine, and one face that nobody labelled.
SUBJECTS = tuple([f"s{i // 5}" for i in range(50)] + ["big"] * 9 + [""])


@pytest.fixture(name="gallery")
def _gallery() -> Gallery:
    return Gallery(References(IDS, unit(np.random.default_rng(1), 60)), SUBJECTS)


def _brute(gallery: Gallery, query: np.ndarray, subject: str, own_id: str) -> tuple[float, int, float, int]:
    scores = pair_similarity(gallery.references.embeddings, np.repeat(query[None], len(IDS), axis=0))
    own = np.array([i == own_id or (bool(subject) and s == subject) for i, s in zip(IDS, SUBJECTS, strict=True)])
    others = np.where(own, -2.0, scores)
    mine = scores[own].max() if own.any() else np.nan
    return others.max(), int(others.argmax()), mine, 1 + int((others > mine).sum())


def test_searches_agree_with_a_plain_loop(gallery: Gallery) -> None:
    queries = unit(np.random.default_rng(2), 40)
    queries[:12] = gallery.references.embeddings[48:60]  # own references first: the search must look deeper
    subjects = [SUBJECTS[48 + i] if i < 12 else SUBJECTS[i] for i in range(40)]
    own_ids = [IDS[48 + i] if i < 12 else IDS[i] for i in range(40)]
    found = search_people(queries, gallery, subjects, own_ids)
    assert len(found.rank) == 40
    for row in range(40):
        similarity, where, mine, rank = _brute(gallery, queries[row], subjects[row], own_ids[row])
        assert found.best_other[row] == pytest.approx(similarity, abs=1e-6)
        assert (found.position[row], found.rank[row]) == (where, rank)
        assert found.own[row] == pytest.approx(mine, abs=1e-6)


def test_nothing_depends_on_blocks_batches_or_order(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twins differ by less than float32 products can tell: only exact rescoring orders them the same every time."""
    rows = gallery.references.embeddings.copy()
    rows[20:40] = rows[:20] + np.float32(1e-7) * unit(np.random.default_rng(5), 20)
    gallery = Gallery(References(IDS, rows), SUBJECTS)
    queries, subjects, own_ids = rows[:40], [SUBJECTS[i] for i in range(40)], list(IDS[:40])
    whole = search_people(queries, gallery, subjects, own_ids)
    monkeypatch.setattr("audit.search._BLOCK", 13)
    monkeypatch.setattr("audit.search._ROWS", 7)
    monkeypatch.setattr("audit.search._EXACT", 5)
    blocks = search_people(queries, gallery, subjects, own_ids)
    back = search_people(queries[::-1].copy(), gallery, subjects[::-1], own_ids[::-1])
    for name in ("best_other", "position", "own", "rank"):
        assert np.array_equal(getattr(whole, name), getattr(blocks, name)), name
        assert np.array_equal(getattr(whole, name), getattr(back, name)[::-1]), name
    assert [_brute(gallery, q, s, i)[3] for q, s, i in zip(queries, subjects, own_ids, strict=True)] == list(whole.rank)


def test_nobody_else_is_told_apart_from_a_weak_match() -> None:
    alone = Gallery(References(("a#0", "a#1"), unit(np.random.default_rng(1), 2)), ("s", "s"))
    query = unit(np.random.default_rng(2), 1)
    found = search_people(query, alone, ["s"], ["a#0"])
    assert (found.best_other[0], found.position[0], found.rank[0]) == (-1.0, -1, 1)
    empty = Gallery(References((), np.zeros((0, 16), np.float32)), ())
    assert search_people(query, empty, [""], ["a#0"]).position[0] == -1


def test_of_equal_references_the_first_is_named() -> None:
    one = unit(np.random.default_rng(1), 1)
    twins = Gallery(References(("a#0", "b#0", "c#0"), np.repeat(one, 3, axis=0)), ("", "", ""))
    found = search_people(one, twins, [""], ["a#0"])
    assert (found.position[0], found.rank[0]) == (1, 1)


def test_an_unenrolled_face_has_no_rank(gallery: Gallery) -> None:
    found = search_people(unit(np.random.default_rng(2), 1), gallery, [""], ["elsewhere#0"])
    assert np.isnan(found.own[0]) and found.rank[0] == 0


def test_an_unlabelled_face_is_only_its_own_reference(gallery: Gallery) -> None:
    found = search_people(gallery.references.embeddings[59:60], gallery, [""], [IDS[59]])
    assert found.own[0] == pytest.approx(1.0, abs=1e-6) and found.rank[0] == 1


@pytest.mark.parametrize("width", [1, 3, 255, 256, 300])
def test_flags_are_counted_whatever_their_number(width: int) -> None:
    """Eight flags are added as one number: a row in which all are set must not carry into its neighbour."""
    flags = np.ones((3, 8 * width), np.bool_)
    flags[1] = np.random.default_rng(3).random(8 * width) < 0.5
    flags[2] = False
    assert _count(flags).tolist() == flags.sum(axis=1).tolist() and flags[1].any()


def test_many_equal_references_are_all_looked_at() -> None:
    """More pairs within rounding than are computed at a time: half of them twins of the query's own reference."""
    rng = np.random.default_rng(4)
    own, other = unit(rng, 1), unit(rng, 1)
    rows = np.concatenate([own, np.repeat(other, 20_000, axis=0), own])
    crowd = Gallery(References(tuple(f"k{i}#0" for i in range(len(rows))), rows), ("",) * len(rows))
    found = search_people(np.concatenate([other, own]), crowd, ["", ""], ["k5#0", "k0#0"])
    assert found.position.tolist() == [1, 20_001] and found.rank.tolist() == [1, 1]
