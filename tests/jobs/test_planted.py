"""Leaks planted in the job itself: an anonymizer that fails and says that it did not. The audit alone can find them."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from audit.gate import Check
from audit.second_detector import CnnDetector, SecondDetector
from cfanet.errors import GateRefused
from cfanet.images import Picture, encode
from cfanet.records import ImageArray
from jobs.config import ReleaseConfig
from jobs.progress import Progress
from jobs.release import Outcome, release
from tests.cfanet.portraits import profile
from tests.jobs.fakes import FACE, FakeTools, encoded, picture, write_tar
from tests.jobs.leaky import leaky_tools

Make = Callable[..., ReleaseConfig]
pytestmark = pytest.mark.usefixtures("inline")


class FakeWatchedTools(leaky_tools({})):  # type: ignore[misc]
    """With a judge's detector that sees profiles."""

    def second_detector(self) -> SecondDetector:
        return CnnDetector()


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


def test_one_original_left_among_five_hundred(source: Path, make_config: Make, quiet: Progress) -> None:
    """One in five hundred is below the limit of a rate; a face that is what it was needs no rate."""
    for shard in range(2):
        members = [(f"{shard}-{n:03}.png", crowd_picture(250 * shard + n)) for n in range(250)]
        write_tar(source / f"{shard}.tar", members)
    config = make_config(run__batch_size=250)
    found = refusals(released(config, quiet, leaky_tools({"1-221": original})))
    assert found["unchanged_faces"].offenders == ("1-221#0",)
    assert "mated_replaced:fake-judge" not in found, "the rate alone would have let it pass"
    (source / "0.tar").unlink()
    clean = make_config(destination__uri=str(source.parent / "clean"), run__batch_size=250)
    outcome = released(clean, quiet, leaky_tools({}))
    outcome.raise_for_status()
    assert outcome.run.counts.pictures == 250


def test_a_face_shown_again_by_its_neighbours_paste(source: Path, make_config: Make, quiet: Progress) -> None:
    write_tar(source / "s.tar", [(f"{n}.png", encoded([1, 2, 3])) for n in range(4)])
    found = refusals(released(make_config(), quiet, leaky_tools({"2": neighbour_pasted_over})))
    assert found["unchanged_faces"].offenders == ("2#0",)


def test_a_profile_that_the_first_detector_missed(
    source: Path, tmp_path: Path, make_config: Make, quiet: Progress
) -> None:
    """The fake detector sees red squares only, so that the picture counts as one without a face."""
    path = tmp_path / "profile.png"
    Image.fromarray(profile()).save(path)
    write_tar(source / "s.tar", [("a.png", path.read_bytes()), ("b.png", encoded([1]))])
    (missed,) = refusals(released(make_config(), quiet, FakeWatchedTools)).values()
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


def textured(shade: int, seed: int) -> ImageArray:
    """A picture of one person whose face has fine structure, before a background of its own; the nose is plain."""
    pixels = picture([shade])
    random = np.random.default_rng(seed)
    for channel, most in enumerate((255, 4 * shade + 60, 110)):
        structure = random.integers(most - 60, most, (FACE // 4, FACE // 4), np.uint8)
        pixels[16 : 16 + FACE, 8 : 8 + FACE, channel] = structure.repeat(4, 0).repeat(4, 1)
    pixels[26:31, 8 + 10 : 8 + 15] = (230, 4 * shade, 60)
    noise = random.integers(0, 255, (8, 20, 1), np.uint8).repeat(8, 0).repeat(8, 1).repeat(3, 2)
    pixels[:, 40:] = noise[:, :160]
    return pixels


def as_file(pixels: ImageArray, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def test_a_thumbnail_of_the_original_in_the_metadata(
    source: Path, make_config: Make, quiet: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The encoder copies what cameras write: EXIF with a thumbnail. Manifest and ledger agree with every byte of it."""
    before = textured(3, 1)
    write_tar(source / "s.tar", [("a.jpg", as_file(before, "JPEG", quality=95)), ("b.png", encoded([1]))])
    thumbnail = as_file(before, "JPEG", quality=90)

    def careless(image: Picture, quality: int) -> bytes:
        if image.format != "JPEG":
            return encode(image, quality)
        return as_file(image.pixels, "JPEG", quality=quality, exif=b"Exif\0\0" + b"\0" * 32 + thumbnail)

    monkeypatch.setattr("jobs.anonymize.encode", careless)
    found = refusals(released(make_config(), quiet))
    assert found.keys() == {"metadata", "near_duplicates"}
    assert found["metadata"].offenders[0].startswith("a: JPEG EXIF")
    assert found["near_duplicates"].offenders[0].startswith("a.jpg")
    monkeypatch.setattr("jobs.anonymize.encode", encode)
    released(make_config(destination__uri=str(source.parent / "clean")), quiet).raise_for_status()


def test_a_subjects_name_in_a_file_name_and_in_a_sidecar(source: Path, make_config: Make, quiet: Progress) -> None:
    """Both are kept by the configuration, so that no other check has anything to say."""
    label = b'{"identity": "Ada Byron"}'
    write_tar(source / "0.tar", [("a.png", encoded([1])), ("a.json", label), ("b.png", encoded([2]))])
    write_tar(source / "1.tar", [("ada_byron.png", encoded([1])), ("c.png", encoded([2])), ("c.txt", b"Byron, Ada")])
    config = make_config(destination__keep_members=["txt"])
    (names,) = refusals(released(config, quiet)).values()
    assert names.name == "names" and sorted(o.partition(":")[0] for o in names.offenders) == ["ada_byron.png", "c.txt"]
    write_tar(source / "1.tar", [("ada.png", encoded([1])), ("c.png", encoded([2])), ("c.txt", b"a portrait")])
    released(make_config(destination__keep_members=["txt"], destination__uri=f"{source}-2"), quiet).raise_for_status()


def test_a_new_face_that_is_another_person_of_the_gallery(source: Path, make_config: Make, quiet: Progress) -> None:
    """The anonymizer gives one person the face of another: nobody is recognised as who they were."""
    people = {"ada": 1, "bob": 60}
    members = []
    for name, shade in people.items():
        for number in range(8):  # 56 pairs of pictures of one person: enough to know how alike they are
            members.append((f"{name[0]}{number}.png", encoded([shade])))
            members.append((f"{name[0]}{number}.json", f'{{"identity": "{name} x"}}'.encode()))
    write_tar(source / "s.tar", members)

    def bob(image: ImageArray, anonymized: ImageArray) -> ImageArray:
        return picture([people["bob"]])

    found = refusals(released(make_config(), quiet, leaky_tools({"a3": bob})))
    assert found.keys() == {"certain_collision:fake-judge"} and found["certain_collision:fake-judge"].offenders == (
        "a3#0",
    )
    clean = released(make_config(destination__uri=f"{source}-2"), quiet, leaky_tools({}))
    clean.raise_for_status()
    assert clean.verdict is not None
    known = {check.name: check for check in clean.verdict.checks}
    assert known["certain_collision:fake-judge"].decides, "not known is no pass"


def test_a_raw_copy_in_place_of_another_picture(source: Path, make_config: Make, quiet: Progress) -> None:
    """Encoded again and a little brighter: no pixel of it is one of its own original, or exactly one of the other's."""
    shown = textured(3, 1)

    def other(image: ImageArray, anonymized: ImageArray) -> ImageArray:
        brighter = np.clip(shown.astype(np.int16) + 6, 0, 255).astype(np.uint8)
        return np.array(Image.open(io.BytesIO(as_file(brighter, "JPEG", quality=85))).convert("RGB"))

    write_tar(source / "s.tar", [("a.png", as_file(shown)), ("b.png", as_file(textured(48, 2)))])
    (found,) = refusals(released(make_config(), quiet, leaky_tools({"b": other}))).values()
    assert found.name == "near_duplicates" and found.offenders[0].startswith("b.png")
    released(make_config(destination__uri=f"{source}-2"), quiet, leaky_tools({})).raise_for_status()


def test_a_raw_picture_under_the_name_of_a_text_withholds_its_sample(
    source: Path, make_config: Make, quiet: Progress
) -> None:
    """What a member holds decides, and not what it is called."""
    hidden = as_file(textured(3, 1), "JPEG", quality=92)
    write_tar(source / "s.tar", [("a.png", encoded([1])), ("b.png", encoded([2])), ("b.dat", hidden)])
    outcome = released(make_config(destination__keep_members=["dat"], run__max_withheld=1.0), quiet)
    outcome.raise_for_status()
    assert outcome.run.counts.quarantined > 0
    assert hidden not in b"".join(path.read_bytes() for path in Path(f"{source.parent}/released").rglob("*.tar"))
