from dataclasses import replace

import numpy as np
import pytest

from audit.calibration import HISTOGRAM_BINS, calibrate, histogram
from audit.gallery import Gallery
from cfanet.search import References
from tests.audit.fakes import PUBLISHED_THRESHOLD, FakeRecognizer, small_gallery, unit


def _unit64(gallery: Gallery) -> np.ndarray:
    wide = gallery.references.embeddings.astype(np.float64)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True)


def _pairs(gallery: Gallery) -> tuple[np.ndarray, np.ndarray]:
    wide = _unit64(gallery)
    first, second = np.triu_indices(len(wide), k=1)
    subjects = np.array(gallery.subjects)
    return (wide[first] * wide[second]).sum(axis=1), subjects[first] == subjects[second]


def test_the_threshold_is_the_smallest_that_keeps_the_rate() -> None:
    gallery = small_gallery()
    found = calibrate(FakeRecognizer(), gallery, 1e-3)
    scores, same = _pairs(gallery)
    nonmated = scores[~same]
    assert found.source == "owner"
    assert (nonmated >= found.threshold).mean() <= 1e-3
    lower = np.sort(nonmated[nonmated < found.threshold])[-1]
    assert (nonmated >= lower).mean() > 1e-3


def test_counts_cover_every_pair_once() -> None:
    gallery = small_gallery()
    found = calibrate(FakeRecognizer(), gallery, 1e-3)
    scores, same = _pairs(gallery)
    assert sum(found.nonmated_histogram) == found.false_match.n == int((~same).sum())
    assert sum(found.mated_histogram) == found.true_match.n == int(same.sum())
    assert found.false_match.hits == int((scores[~same] >= found.threshold).sum())
    assert found.true_match.hits == int((scores[same] >= found.threshold).sum())
    np.testing.assert_array_equal(found.mated_histogram, histogram(scores[same]))


@pytest.mark.parametrize("noise", [0.12, 0.13, 0.15])
def test_a_certain_person_is_as_like_as_the_median_pair_of_one_not_as_its_hundredth(noise: float) -> None:
    """The lower edge of a bin 0.01 wide refused a release of faces that were less alike than that median."""
    gallery = small_gallery(noise=noise)
    found = calibrate(FakeRecognizer(), gallery, 1e-3)
    scores, same = _pairs(gallery)
    assert found.certain is not None
    assert found.certain.similarity == pytest.approx(np.median(scores[same]), abs=1.1e-3)


def test_too_few_people_fall_back_to_the_published_threshold_and_say_so() -> None:
    found = calibrate(FakeRecognizer(), small_gallery(people=20), 1e-3)
    assert (found.source, found.threshold) == ("published", PUBLISHED_THRESHOLD)
    assert "20 labelled people" in found.reason
    assert "2996" in found.reason
    assert found.false_match.n > 0


def test_many_pictures_of_few_people_do_not_support_a_rate() -> None:
    gallery = small_gallery(people=10, each=40)
    assert calibrate(FakeRecognizer(), gallery, 1e-3).source == "published"


def test_faces_without_labels_take_no_part() -> None:
    vectors = unit(np.random.default_rng(0), 30)
    gallery = Gallery(References(tuple(f"{i}#0" for i in range(30)), vectors), ("",) * 30)
    found = calibrate(FakeRecognizer(), gallery, 1e-3)
    assert found.source == "published"
    assert (found.n_subjects, found.false_match.n, found.strangers.n) == (0, 0, 0)


def test_strangers_are_searched_against_other_people_only() -> None:
    gallery = small_gallery()
    found = calibrate(FakeRecognizer(), gallery, 1e-3)
    wide = _unit64(gallery)
    scores, subjects = wide @ wide.T, np.array(gallery.subjects)
    scores[subjects[:, None] == subjects[None, :]] = -1.0
    assert found.strangers.n == len(wide)
    assert found.strangers.hits == int((scores.max(axis=1) >= found.threshold).sum())
    assert found.certain is not None and found.certain.similarity > found.threshold
    assert found.certain.strangers.hits == int((scores.max(axis=1) >= found.certain.similarity).sum())


def test_another_face_of_the_own_picture_is_no_stranger() -> None:
    """An unlabelled box across the first person matches her, which is no chance; one in another picture is."""
    gallery = small_gallery()
    alone = calibrate(FakeRecognizer(), gallery, 1e-3)
    vectors = np.concatenate([gallery.references.embeddings, gallery.references.embeddings[:1]])
    for picture, chance in ((gallery.references.ids[0].removesuffix("#0"), False), ("elsewhere", True)):
        references = References((*gallery.references.ids, f"{picture}#1"), vectors)
        found = calibrate(FakeRecognizer(), Gallery(references, (*gallery.subjects, "")), 1e-3)
        assert found.certain is not None and alone.certain is not None
        assert (found.certain.strangers.hits > alone.certain.strangers.hits) == chance


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    gallery = small_gallery()
    whole = calibrate(FakeRecognizer(), gallery, 1e-3)
    monkeypatch.setattr("audit.pairs._BLOCK", 37)
    blocked = calibrate(FakeRecognizer(), gallery, 1e-3)
    assert blocked.threshold == pytest.approx(whole.threshold, abs=1e-12)
    assert replace(blocked, threshold=whole.threshold) == whole


def test_the_histogram_drops_nothing() -> None:
    counts = histogram(np.array([-1.0, -0.999, 0.0, 0.0049, 1.0, 1.0000001]))
    assert len(counts) == HISTOGRAM_BINS
    assert counts.sum() == 6
    assert (counts[0], counts[100], counts[-1]) == (2, 2, 2)
