"""Every attacker on data where the answer is known: it finds what is there, and nothing where nothing is."""

import numpy as np
import pytest

from audit.attacks.faces import Faces
from audit.attacks.linkage import linkage
from audit.attacks.parrot import parrot
from audit.attacks.reconstruction import reconstruction
from audit.breakdown import attack_rates
from audit.config import AttackSettings
from audit.records import AttackResult
from cfanet.records import Embeddings
from tests.audit.fakes import small_gallery, unit

SETTINGS = AttackSettings()
ORIGINALS = small_gallery(people=30, each=6, dim=32)
N = len(ORIGINALS.subjects)
ATTACKS = {"linkage": linkage, "parrot": parrot, "reconstruction": reconstruction}


def _normal(vectors: np.ndarray) -> Embeddings:
    result: Embeddings = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return result


def _faces(released: Embeddings) -> Faces:
    return Faces("fake", released, ORIGINALS.references.embeddings, ORIGINALS.subjects)


def _turned() -> Embeddings:
    """An invertible anonymizer: a secret rotation, so that no recognizer matches it and every learner can."""
    rotation, _ = np.linalg.qr(np.random.default_rng(99).standard_normal((32, 32)))
    return _normal(ORIGINALS.references.embeddings @ rotation)


def _by_role(results: list[AttackResult]) -> dict[str, bool]:
    return {found.role: found.beats_chance for found in attack_rates(results, 0.95)}


@pytest.mark.parametrize("name", ATTACKS)
def test_a_weak_anonymizer_is_broken(name: str) -> None:
    found = _by_role(ATTACKS[name](_faces(_turned()), SETTINGS))
    assert found == {"attack": True, "positive_control": True, "negative_control": False}


@pytest.mark.parametrize("name", ATTACKS)
def test_faces_of_nobody_give_nothing_away(name: str) -> None:
    found = _by_role(ATTACKS[name](_faces(unit(np.random.default_rng(5), N, 32)), SETTINGS))
    assert found == {"attack": False, "positive_control": True, "negative_control": False}


@pytest.mark.parametrize("name", ATTACKS)
def test_results_repeat(name: str) -> None:
    assert ATTACKS[name](_faces(_turned()), SETTINGS) == ATTACKS[name](_faces(_turned()), SETTINGS)


@pytest.mark.parametrize("name", ATTACKS)
def test_too_few_are_skipped_with_a_reason(name: str) -> None:
    few = Faces("fake", ORIGINALS.references.embeddings[:8], ORIGINALS.references.embeddings[:8], ("",) * 8)
    (result,) = ATTACKS[name](few, SETTINGS)
    assert result.n == 0 and result.detail.startswith("skipped: ") and "needed" in result.detail
    none = Faces("fake", few.released[:0], few.originals[:0], ())
    assert ATTACKS[name](none, SETTINGS)[0].n == 0
