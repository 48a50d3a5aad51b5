"""Methods that borrow faces, behind the anonymizer: same result alone and in a batch, and refusals are obscured."""

from pathlib import Path

import numpy as np
import pytest

from cfanet.anonymizer import Anonymizer, Parts
from cfanet.borrowed import face_source
from cfanet.config import AnonymizeSettings
from cfanet.errors import ConfigError
from cfanet.records import FaceDecision, ImageStatus
from cfanet.seeds import SeedKey
from tests.cfanet.donor_files import write_noise_donors
from tests.cfanet.tiny import FakeDetector, face_at, noise

METHODS = ("k-same", "k-same-eigen", "donor-swap")
FACES = [face_at(60, 60, 50), face_at(150, 60, 40), face_at(20, 20, 12)]


def build(method: str, file: Path) -> Anonymizer:
    settings = AnonymizeSettings.model_validate({"method": method, "donors": {"file": str(file), "k": 3}})
    source = face_source(settings)
    return Anonymizer(Parts(settings, SeedKey(b"k" * 32), FakeDetector(FACES), None, {}, {}, borrowed=source))


@pytest.mark.parametrize("method", METHODS)
def test_a_face_depends_on_its_picture_alone(method: str, tmp_path: Path) -> None:
    anonymizer = build(method, write_noise_donors(tmp_path / "d.safetensors"))
    images = [noise(120, 200, seed) for seed in range(3)]
    together = anonymizer.run(images, ["a", "b", "c"])
    backwards = anonymizer.run(images[::-1], ["c", "b", "a"])[::-1]
    for image, name, one, other in zip(images, "abc", together, backwards, strict=True):
        alone = anonymizer.run([image], [name])[0]
        assert alone.image is not None and one.image is not None and other.image is not None
        assert np.array_equal(alone.image, one.image) and np.array_equal(alone.image, other.image)
        assert anonymizer.check_released(image, alone.image, alone) == []


@pytest.mark.parametrize("method", METHODS)
def test_small_faces_are_obscured_and_said_to_be(method: str, tmp_path: Path) -> None:
    (result,) = build(method, write_noise_donors(tmp_path / "d.safetensors")).run([noise(120, 200)], ["a"])
    assert result.status == ImageStatus.OBSCURED
    assert [f.decision for f in result.faces] == [FaceDecision.REPLACED] * 2 + [FaceDecision.OBSCURED]
    assert [f.method for f in result.faces] == [method, method, "inpaint"]
    assert result.faces[2].detail == "too small to be judged"


@pytest.mark.parametrize("method", METHODS)
def test_a_named_face_borrows_none(method: str, tmp_path: Path) -> None:
    anonymizer = build(method, write_noise_donors(tmp_path / "d.safetensors"))
    (result,) = anonymizer.run([noise(120, 200)], ["a"], None, [{0: "named by a person"}])
    assert [f.decision for f in result.faces[:2]] == [FaceDecision.OBSCURED, FaceDecision.REPLACED]
    assert (result.faces[0].attempts, result.faces[0].detail) == (0, "named by a person")


def test_the_digest_names_the_donors(tmp_path: Path) -> None:
    one, two = (write_noise_donors(tmp_path / f"{n}.safetensors", n) for n in (12, 13))
    digests = {build(method, file).model_digest for method in METHODS for file in (one, two)}
    assert len(digests) == 6


def test_a_method_without_donors_is_refused_and_the_others_need_none() -> None:
    with pytest.raises(ConfigError, match="name a file of donors"):
        face_source(AnonymizeSettings(method="k-same"))
    assert face_source(AnonymizeSettings()) is None and face_source(AnonymizeSettings(method="blur")) is None
