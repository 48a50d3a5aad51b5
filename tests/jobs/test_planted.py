"""Leaks planted in the job itself: an anonymizer that fails and says that it did not. The audit alone can find them."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from audit.gate import Check
from audit.second_detector import CnnDetector, SecondDetector
from cfanet.errors import GateRefused
from cfanet.records import Detection, ImageArray, ImageResult
from cfanet.search import References
from cfanet.seeds import SeedKey
from jobs.config import ReleaseConfig
from jobs.progress import Progress
from jobs.release import Outcome, release
from jobs.tools import PictureAnonymizer
from tests.cfanet.portraits import profile
from tests.jobs.fakes import FACE, FakeAnonymizer, FakeTools, encoded, picture, write_tar

Make = Callable[..., ReleaseConfig]
Spoil = Callable[[ImageArray, ImageArray], ImageArray]  # original, anonymized -> what is released instead
pytestmark = pytest.mark.usefixtures("inline")


class FakeLeakyAnonymizer(FakeAnonymizer):
    """Claims to have replaced every face, and spoils some pictures afterwards."""

    spoil: Mapping[str, Spoil] = {}

    def run(self, images, ids, detections=None):  # type: ignore[no-untyped-def]
        results = super().run(images, ids, detections)
        return [self._spoilt(*pair) for pair in zip(images, results, strict=True)]

    def _spoilt(self, image: ImageArray, result: ImageResult) -> ImageResult:
        leak = self.spoil.get(result.id.rpartition("/")[2])
        if leak is None or result.image is None:
            return result
        return ImageResult(result.id, result.status, result.detail, leak(image, result.image), result.faces)

    def check_released(self, original: ImageArray, released: ImageArray, result: ImageResult) -> list[Detection]:
        return []  # blind


class FakeLeakyTools(FakeTools):
    """With that anonymizer, and a judge's detector that sees profiles."""

    def second_detector(self) -> SecondDetector:
        return CnnDetector()

    def anonymizer(self, key: SeedKey, galleries: Mapping[str, References]) -> PictureAnonymizer:
        return FakeLeakyAnonymizer(key, galleries)


def original(image: ImageArray, anonymized: ImageArray) -> ImageArray:
    return image.copy()


def neighbour_pasted_over(image: ImageArray, anonymized: ImageArray) -> ImageArray:
    """The second face is pasted with a rectangle of its surroundings, in which the first one was."""
    result = anonymized.copy()
    result[:, : 8 + FACE] = image[:, : 8 + FACE]
    return result


def crowd_picture(number: int) -> bytes:
    """One face before a background like no other: pictures that look alike are compared with one another."""
    pixels = picture([1 + number % 6])
    noise = np.random.default_rng(number).integers(0, 255, (8, 25, 1), np.uint8).repeat(8, 0).repeat(8, 1)
    background = (pixels == 128).all(axis=2)
    pixels[background] = noise.repeat(3, axis=2)[background]
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def released(config: ReleaseConfig, quiet: Progress, tools: type[FakeTools] = FakeTools) -> Outcome:
    outcome = release(config, quiet, tools)
    assert outcome.verdict is not None
    return outcome


def refusals(outcome: Outcome) -> dict[str, Check]:
    assert outcome.verdict is not None
    with pytest.raises(GateRefused):
        outcome.raise_for_status()
    assert not (Path(outcome.run.config.destination.uri) / "RELEASE.json").exists()
    return {check.name: check for check in outcome.verdict.checks if check.decides and not check.passed}


@pytest.fixture
def leaky(monkeypatch: pytest.MonkeyPatch) -> Callable[[Mapping[str, Spoil]], type[FakeTools]]:
    """Tools of an anonymizer that spoils these pictures."""

    def build(spoil: Mapping[str, Spoil]) -> type[FakeTools]:
        monkeypatch.setattr(FakeLeakyAnonymizer, "spoil", spoil)
        monkeypatch.setattr(FakeLeakyTools, "second_detector", FakeTools.second_detector)
        return FakeLeakyTools

    return build


def test_one_original_left_among_a_thousand(
    source: Path, make_config: Make, quiet: Progress, leaky: Callable[[Mapping[str, Spoil]], type[FakeTools]]
) -> None:
    """One in a thousand is far below any limit of a rate; a face that is what it was needs no rate."""
    for shard in range(2):
        members = [(f"{shard}-{n:03}.png", crowd_picture(500 * shard + n)) for n in range(500)]
        write_tar(source / f"{shard}.tar", members)
    config = make_config(run__batch_size=250)
    found = refusals(released(config, quiet, leaky({"1-321": original})))
    assert found["unchanged_faces"].offenders == ("1-321#0",)
    assert "mated_replaced:fake-judge" not in found, "the rate alone would have let it pass"
    clean = make_config(destination__uri=str(source.parent / "clean"), run__batch_size=250)
    outcome = released(clean, quiet, leaky({}))
    outcome.raise_for_status()
    assert outcome.run.counts.pictures == 1000


def test_a_face_shown_again_by_its_neighbours_paste(
    source: Path, make_config: Make, quiet: Progress, leaky: Callable[[Mapping[str, Spoil]], type[FakeTools]]
) -> None:
    write_tar(source / "s.tar", [(f"{n}.png", encoded([1, 2, 3])) for n in range(4)])
    found = refusals(released(make_config(), quiet, leaky({"2": neighbour_pasted_over})))
    assert found["unchanged_faces"].offenders == ("2#0",)


def test_a_profile_that_the_first_detector_missed(
    source: Path, tmp_path: Path, make_config: Make, quiet: Progress
) -> None:
    """The fake detector sees red squares only, so that the picture counts as one without a face."""
    path = tmp_path / "profile.png"
    Image.fromarray(profile()).save(path)
    write_tar(source / "s.tar", [("a.png", path.read_bytes()), ("b.png", encoded([1]))])
    (missed,) = refusals(released(make_config(), quiet, FakeLeakyTools)).values()
    assert (missed.name, missed.offenders) == ("missed_faces", ("a#seen0",))


def test_members_that_are_not_on_the_allow_list(
    source: Path, make_config: Make, quiet: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The anonymizing worker keeps a sidecar that the configuration does not name."""
    from jobs.anonymize import AnonymizeWorker

    write_tar(source / "s.tar", [("a.png", encoded([1])), ("a.xmp", b"<x/>")])
    build = AnonymizeWorker.__init__

    def careless(worker: AnonymizeWorker, context: object) -> None:
        build(worker, context)  # type: ignore[arg-type]
        worker._keep = frozenset({"xmp"})

    monkeypatch.setattr(AnonymizeWorker, "__init__", careless)
    found = refusals(released(make_config(), quiet))
    assert found["stray_files"].offenders == ("a.xmp: a member of this kind is not on the allow-list",)


def test_a_leak_is_what_it_is_said_to_be() -> None:
    """The planted pictures differ from anonymized ones: otherwise the tests above would prove nothing."""
    before, after = np.zeros((64, 200, 3), np.uint8), np.full((64, 200, 3), 9, np.uint8)
    assert (original(before, after) == before).all()
    assert (neighbour_pasted_over(before, after) == before).any() and (neighbour_pasted_over(before, after) == 9).any()
