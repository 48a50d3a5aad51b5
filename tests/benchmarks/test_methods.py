"""The comparison of methods: who is chosen, and that a weak method comes out as weak and a strong one as strong."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from audit.calibration import calibrate
from audit.gallery import Gallery
from benchmarks.methods import FMRS, GALLERY_SHARES, PROBE_SHARES, Released, attackers, choose, recognition
from benchmarks.weak import weak_blur, weak_pixelate
from cfanet.search import References
from tests.audit.fakes import FakeRecognizer, unit
from tests.cfanet.portraits import grace_hopper
from training.evaluation.quantities import Measured
from training.evaluation.samples import Sample

PEOPLE = {f"p{n:02}": 1 + n % 5 for n in range(60)}


def _samples() -> list[Sample]:
    keys = [(name, n) for name, count in PEOPLE.items() for n in range(count)]
    return [Sample(f"{name}-{n}", Path("s.tar"), 0, 0, {"identity": name}) for name, n in keys]


def test_people_are_chosen_by_a_hash_and_probes_are_among_the_originals() -> None:
    gallery = choose(_samples(), 60, GALLERY_SHARES)
    probes = choose(gallery, 20, PROBE_SHARES)
    counts = [sum(s.identity == name for s in gallery) for name in {s.identity for s in gallery}]
    assert sorted(counts) == [1] * 12 + [2] * 3 + [4] * 6
    assert {s.key for s in probes} < {s.key for s in gallery}
    assert {sum(s.identity == p.identity for s in probes) for p in probes} == {2, 4}
    assert choose(_samples()[::-1], 60, GALLERY_SHARES) == gallery


@pytest.mark.parametrize("weak", [weak_blur, weak_pixelate])
def test_the_weak_ones_change_the_face_alone_and_keep_what_it_looks_like(weak) -> None:  # type: ignore[no-untyped-def]
    image, box = grace_hopper()[:400, 60:460], (110.0, 80.0, 270.0, 290.0)
    result = weak(image, box)
    assert (result != image).any() and (result[:, 360:] == image[:, 360:]).all()
    before, after = (a[150:250, 140:240].reshape(10, 10, 10, 10, 3).mean((1, 3)).ravel() for a in (image, result))
    assert np.corrcoef(before, after)[0, 1] > 0.95


def test_weak_comes_out_as_weak_and_strong_as_strong() -> None:
    """Originals of 90 people; one method adds a little noise, the other draws everybody anew."""
    random = np.random.default_rng(0)
    people = np.repeat(unit(random, 90, 32), 4, axis=0)
    originals = people + 0.35 * unit(random, 360, 32)
    originals /= np.linalg.norm(originals, axis=1, keepdims=True)
    weak = originals + 0.3 * unit(random, 360, 32)
    weak /= np.linalg.norm(weak, axis=1, keepdims=True)
    names = tuple(f"p{n // 4}" for n in range(360))
    gallery = Gallery(References(tuple(map(str, range(360))), originals.astype(np.float32)), names)
    compared = SimpleNamespace(
        galleries={"fake": gallery},
        calibrations={"fake": calibrate(FakeRecognizer(), gallery, FMRS[0], fmrs=FMRS)},
        subjects=[SimpleNamespace(sample=SimpleNamespace(key=str(n), identity=names[n])) for n in range(360)],
        rows=np.arange(360),
    )
    results = [
        Released("weak", {"fake": weak.astype(np.float32)}, np.ones(360, np.int64)),
        Released("strong", {"fake": unit(random, 360, 32)}, np.ones(360, np.int64)),
    ]
    _, first, second = recognition(compared, "fake", results).rows  # type: ignore[arg-type]
    for column in (1, 4):  # matched at 1e-3, rank 1
        one, other = first[column], second[column]
        assert isinstance(one, Measured) and isinstance(other, Measured)
        assert one.low is not None and one.low > 0.9 and other.high is not None and other.high < 0.05
    success = {(row[0], row[1]): row[2] for row in attackers(compared, "fake", results).rows}  # type: ignore[arg-type]
    for attacker in ("linkage", "parrot", "reconstruction"):
        one, other = success["weak", attacker], success["strong", attacker]
        assert isinstance(one, Measured) and isinstance(other, Measured)
        assert one.value is not None and one.value > 0.5 and other.value is not None and other.value < 0.06
