"""Released pictures are the anonymizer's own, and made once."""

from pathlib import Path

import numpy as np
import pytest

from cfanet.anonymizer import Anonymizer, build_anonymizer
from cfanet.config import AnonymizeSettings, LoopSettings
from cfanet.errors import InputError
from cfanet.images import Picture, decode, encode
from tests.cfanet.tiny import face_at
from tests.training.evaluation.shards import portrait_entries
from training.evaluation.anonymized import FolderMaker, Maker, evaluation_key, without_loop
from training.evaluation.cache import Cache
from training.evaluation.faces import Look
from training.evaluation.samples import Photo

LOOK = Look((face_at(128, 110, 90), face_at(30, 30, 20)), 0)


@pytest.mark.parametrize("method", ["cfa", "blur", "mask"])
def test_a_released_picture_is_what_the_anonymizer_makes(method: str, dataset: Path, tmp_path: Path) -> None:
    values = {"method": method, "generator": str(dataset / "tiny.safetensors")}
    settings = without_loop(AnonymizeSettings.model_validate(values))
    photo = Photo(portrait_entries()[0][1])
    released = Maker(Cache(tmp_path / "c"), settings, 3, {}, "cpu").make("key", photo, LOOK)
    result = build_anonymizer(settings, evaluation_key(3), {}).run([photo.picture.pixels], ["key"], [list(LOOK.faces)])
    image = result[0].image
    assert image is not None and not np.array_equal(image, photo.picture.pixels)
    expected = decode(encode(Picture(image, "JPEG"), settings.jpeg_quality), 64).pixels
    assert np.array_equal(released.photo.picture.pixels, expected)
    assert released.replaced(0) == (method == "cfa") and not released.replaced(1)


def test_the_open_loop_accepts_what_the_closed_one_refuses(dataset: Path, tmp_path: Path) -> None:
    """A threshold that nothing passes: with the loop on every face is obscured, with it off replaced at once."""
    values = {"generator": str(dataset / "tiny.safetensors"), "loop": LoopSettings(threshold=-0.9, max_attempts=2)}
    closed = AnonymizeSettings.model_validate(values)
    photo = Photo(portrait_entries()[0][1])
    cache = Cache(tmp_path / "c")
    on = Maker(cache, closed, 0, {}, "cpu").make("key", photo, LOOK)
    off = Maker(cache, without_loop(closed), 0, {}, "cpu").make("key", photo, LOOK)
    assert not on.replaced(0) and on.fates[0].attempts == 2
    assert off.replaced(0) and off.fates[0].attempts == 1
    assert off.fates[0].requested_deg == closed.angle_deg


def test_a_picture_is_made_once_and_again_for_another_seed(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = without_loop(AnonymizeSettings(generator=str(dataset / "tiny.safetensors")))
    photo = Photo(portrait_entries()[0][1])
    first = Maker(Cache(tmp_path / "c"), settings, 0, {}, "cpu").make("key", photo, LOOK)
    other = Maker(Cache(tmp_path / "c"), settings, 1, {}, "cpu").make("key", photo, LOOK)
    assert first.photo.data != other.photo.data
    monkeypatch.setattr(Anonymizer, "run", lambda *_: pytest.fail("made a second time"))
    assert Maker(Cache(tmp_path / "c"), settings, 0, {}, "cpu").make("key", photo, LOOK).photo.data == first.photo.data


def test_another_programs_pictures_are_taken_as_they_are(tmp_path: Path) -> None:
    photo = Photo(portrait_entries()[0][1])
    pixels = photo.picture.pixels
    (tmp_path / "key.jpg").write_bytes(encode(Picture(255 - pixels, "JPEG"), 95))
    (tmp_path / "small.jpg").write_bytes(encode(Picture(pixels[:100], "JPEG"), 95))
    maker = FolderMaker(tmp_path)
    assert maker.make("key", photo, LOOK).photo.data == (tmp_path / "key.jpg").read_bytes()
    assert maker.make("key", photo, LOOK).replaced(1) and maker.model_digest == FolderMaker(tmp_path).model_digest
    with pytest.raises(InputError, match="holds no picture other"):
        maker.make("other", photo, LOOK)
    with pytest.raises(InputError, match="keep the size"):
        maker.make("small", photo, LOOK)
