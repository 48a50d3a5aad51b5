import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from cfanet.align import crop_points
from cfanet.detect import MTCNNDetector
from cfanet.errors import ConfigError
from cfanet.records import Detection, ImageArray
from tests.cfanet.portraits import eileen_collins, grace_hopper, no_face
from tests.cfanet.tiny import FakeDetector, face_at
from tests.training.fakes import fake_guide
from training.data import load_faces
from training.prepare import CROP_SIZE, Preparer, load_limits, main_face, sharpness, shown_share

PORTRAIT = face_at(224, 130, 100)


def jpeg(pixels: ImageArray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def blurred(pixels: ImageArray, radius: float) -> ImageArray:
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


def preparer(faces: list[Detection], **limits: float) -> Preparer:
    return Preparer(load_limits(**limits), FakeDetector(faces), fake_guide())


@pytest.fixture(scope="module")
def real() -> Preparer:
    limits = load_limits()
    return Preparer(limits, MTCNNDetector(limits.detector), fake_guide())


def test_keeps_clear_faces_aligned_and_labelled(real: Preparer, tmp_path: Path) -> None:
    pictures = {"collins": eileen_collins(), "hopper": grace_hopper(), "coffee": no_face()[:, :200]}
    made = real.prepare((name, jpeg(pixels), name[0].upper()) for name, pixels in pictures.items())
    assert (made.pictures, made.left_out, made.people) == (3, {"no_face": 1}, {"C": 1, "H": 1})
    for extension, data in made.files().items():
        (tmp_path / f"shard{extension}").write_bytes(data)
    index = np.load(tmp_path / "shard.npz")
    assert index["key"].tolist() == ["collins", "hopper"] and index["identity"].tolist() == ["C", "H"]
    assert np.allclose(np.linalg.norm(index["embedding"], axis=1), 1, atol=1e-5)
    assert np.abs(index["landmarks"] - crop_points(CROP_SIZE)).mean() < 4, "landmarks lie where the alignment puts them"
    assert len(load_faces(tmp_path, 64)) == 2


def test_equal_pictures_give_equal_bytes(real: Preparer) -> None:
    one, two = (real.prepare([("a", jpeg(eileen_collins()), "x")]).files() for _ in range(2))
    assert one == two and set(one) == {".tar", ".npz"}


def test_every_picture_left_out_has_a_reason() -> None:
    sharp = eileen_collins()
    faces = {
        "no_face": ([], {}),
        "unclear_face": ([face_at(224, 130, 100, score=0.6)], {}),
        "small_face": ([face_at(224, 130, 40)], {}),
        "small_for_crop": ([PORTRAIT], {"crop_size": 512}),
        "blurred": ([PORTRAIT], {"min_sharpness": 10_000.0}),
        "no_landmarks": ([Detection(PORTRAIT.box, 0.99, np.full((5, 2), 9, np.float32))], {}),
    }
    for reason, (found, limits) in faces.items():
        assert preparer(found, **limits).prepare([("a", jpeg(sharp), "")]).left_out == {reason: 1}
    broken = preparer([PORTRAIT]).prepare([("a", b"", ""), ("b", b"no picture", ""), ("c", jpeg(sharp), "")])
    assert broken.left_out == {"empty": 1, "undecodable": 1} and len(broken.faces) == 1
    assert preparer([]).prepare([("a", jpeg(sharp), "")]).files() == {}


def test_enlarged_crops_are_counted_up_to_the_limit() -> None:
    picture = [("a", jpeg(eileen_collins()), "")]
    small = preparer([PORTRAIT]).prepare(picture)
    large = preparer([PORTRAIT], crop_size=256).prepare(picture)
    assert (len(small.faces), small.notes["enlarged"]) == (1, 0)
    assert (len(large.faces), large.notes["enlarged"]) == (1, 1) and large.faces[0].crop.shape == (256, 256, 3)
    refused = preparer([PORTRAIT], crop_size=256, max_enlargement=1.0).prepare(picture)
    assert refused.left_out == {"small_for_crop": 1}


def test_a_crop_that_the_picture_shows_in_part_is_noted_or_left_out() -> None:
    tight = eileen_collins()[85:185, 174:274]  # cut from brow to chin, as some collections are
    face = [face_at(50, 45, 100)]
    kept = preparer(face).prepare([("a", jpeg(tight), "")])
    assert kept.notes["mostly_border"] == 1 and 0.1 < kept.faces[0].shown < 0.5
    assert np.load(io.BytesIO(kept.files()[".npz"]))["shown"][0] == pytest.approx(kept.faces[0].shown)
    assert preparer(face, min_shown=0.5).prepare([("a", jpeg(tight), "")]).left_out == {"outside_picture": 1}
    whole = preparer([PORTRAIT]).prepare([("a", jpeg(eileen_collins()), "")])
    assert whole.notes["mostly_border"] == 0 and whole.faces[0].shown == 1.0


def test_the_shown_share_is_an_area() -> None:
    half = np.array([[1.0, 0, 0], [0, 1.0, 0]])
    assert shown_share(half, 128, 64, 500) == pytest.approx(0.5, abs=0.02)
    assert shown_share(half, 128, 64, 64) == pytest.approx(0.25, abs=0.02)
    assert shown_share(half, 128, 128, 128) == 1.0


def test_sharpness_falls_with_blur_and_is_alike_over_crop_sizes() -> None:
    crop = np.asarray(Image.fromarray(grace_hopper()[60:380, 90:410]).resize((512, 512)))
    values = [sharpness(blurred(crop, radius)) for radius in (0.1, 4, 8, 16)]
    assert values == sorted(values, reverse=True) and values[0] > 10 * values[-1]
    quarter = np.asarray(Image.fromarray(crop).resize((128, 128), Image.Resampling.BOX))
    assert sharpness(quarter) == pytest.approx(sharpness(crop), rel=0.1)


def test_the_main_face_is_clear_large_and_central() -> None:
    central, aside = face_at(100, 100, 60), face_at(20, 100, 60)
    small, doubtful = face_at(100, 100, 20), face_at(100, 100, 60, score=0.5)
    assert main_face([aside, small, doubtful, central], 200, 200) is central
    assert main_face([small, doubtful], 200, 200) is None


def test_a_box_across_two_people_is_not_the_main_face() -> None:
    person, across = face_at(80, 100, 60, score=0.9999), face_at(98, 100, 62, score=0.998)
    assert main_face([across, person], 200, 200) is person
    assert main_face([across], 200, 200) is across


def test_facts_name_everything_a_shard_depends_on() -> None:
    facts = [preparer([], **limits).facts for limits in ({}, {"crop_size": 256}, {"min_score": 0.8})]
    assert len({tuple(sorted(found.items())) for found in facts}) == 3
    assert facts[0]["guide SHA-256"] == fake_guide().digest and facts[0]["alignment"] == facts[1]["alignment"]


def test_a_wrong_limit_is_named() -> None:
    with pytest.raises(ConfigError, match="crop_size 100 is not valid"):
        load_limits(crop_size=100)
