import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from facenet_pytorch import MTCNN
from PIL import Image

from cfanet.boxes import iou
from cfanet.config import DetectorSettings
from cfanet.detect import MTCNNDetector
from cfanet.records import Detection, ImageArray
from tests.cfanet.portraits import eileen_collins, grace_hopper, no_face, side_by_side


@pytest.fixture(scope="module")
def detector() -> MTCNNDetector:
    return MTCNNDetector(DetectorSettings())


def test_finds_every_face_and_its_landmarks(detector: MTCNNDetector) -> None:
    faces = [face for face in detector.detect(side_by_side()) if face.score > 0.95]
    assert len(faces) == 2
    for face in faces:
        assert face.landmarks.shape == (5, 2)
        inside = (face.landmarks[:, 0] > face.box[0]) & (face.landmarks[:, 0] < face.box[2])
        assert inside.all()
        assert face.landmarks[0, 0] < face.landmarks[1, 0], "the left eye comes first"


def test_finds_none_where_there_is_none(detector: MTCNNDetector) -> None:
    assert [face for face in detector.detect(no_face()) if face.score > 0.95] == []


def test_scores_descend(detector: MTCNNDetector) -> None:
    scores = [face.score for face in detector.detect(side_by_side())]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("shape", [(1, 1), (5, 300), (11, 11), (24, 24)])
def test_very_small_pictures_are_looked_at_not_refused(detector: MTCNNDetector, shape: tuple[int, int]) -> None:
    assert detector.detect(np.full((*shape, 3), 90, np.uint8)) == []


def test_a_face_of_twelve_pixels_is_found(detector: MTCNNDetector) -> None:
    small = np.asarray(Image.fromarray(eileen_collins()).resize((60, 60), Image.Resampling.LANCZOS))
    found = detector.detect(small)
    assert found
    assert found[0].box[2] - found[0].box[0] < 14


@pytest.mark.parametrize("half", [np.s_[:, 260:], np.s_[:, :260]])
def test_half_a_face_at_the_border_is_found(detector: MTCNNDetector, half: tuple[slice, slice]) -> None:
    picture = grace_hopper()[half]  # the face lies between columns 171 and 352
    (face,) = detector.detect(picture)[:1]
    assert face.box[0] < 0 or face.box[2] > picture.shape[1], "its box reaches beyond the picture"
    assert 80 < face.box[2] - face.box[0] < 300


@pytest.mark.parametrize(
    ("portrait", "border"),
    [
        (grace_hopper, (0.0, 0.2, 0.0, 0.0)),
        (grace_hopper, (0.0, 0.0, 0.2, 0.0)),
        (grace_hopper, (0.3, 0.0, 0.0, 0.0)),
        (grace_hopper, (0.05, 0.05, 0.05, 0.05)),
        (eileen_collins, (0.2, 0.0, 0.0, 0.0)),
        (eileen_collins, (0.0, 0.2, 0.0, 0.0)),
        (eileen_collins, (0.2, 0.2, 0.0, 0.0)),
    ],
)
def test_a_face_that_the_border_cuts_is_seen_where_it_is(
    detector: MTCNNDetector, portrait: Callable[[], ImageArray], border: tuple[float, float, float, float]
) -> None:
    image = portrait()
    whole = detector.detect(image)[0]
    x0, y0, x1, y1 = whole.box
    sides = np.array([x1 - x0, y1 - y0])
    left, top = (int(v) for v in np.where(np.array(border[:2]) > 0, (x0, y0) + border[:2] * sides, 0))
    right, bottom = (
        int(v) for v in np.where(np.array(border[2:]) > 0, (x1, y1) - border[2:] * sides, image.shape[1::-1])
    )
    seen = image[top:bottom, left:right]

    def off(face: Detection) -> float:
        """How far its points are off, in distances of the eyes."""
        apart = np.linalg.norm(face.landmarks + np.array([left, top]) - whole.landmarks, axis=1).mean()
        return float(apart / np.linalg.norm(whole.landmarks[1] - whole.landmarks[0]))

    once = max(detector.detect_every(seen), key=lambda face: face.score)
    again = detector.detect(seen)[0]
    assert off(once) > 0.25, "the border leads MTCNN astray: else this shows nothing"
    assert off(again) < 0.15
    assert again.score > 0.9


def test_a_face_at_the_border_is_not_moved_onto_another_ones_place(detector: MTCNNDetector) -> None:
    picture = grace_hopper()[:, 215:]
    (face,) = detector.detect(picture)[:1]
    up = 0.3 * (face.box[3] - face.box[1])
    above = (face.box[0], face.box[1] - up, face.box[2], face.box[3] - up)
    doubtful = Detection(above, 0.8, face.landmarks - np.array([0, up], np.float32))
    assert detector._look_again(picture, [face, doubtful])[1] is doubtful
    (moved,) = detector._look_again(picture, [doubtful])
    assert iou(moved.box, face.box) > 0.7 > iou(doubtful.box, face.box), "alone it would have been"


def test_what_the_border_does_not_cut_is_found_once(detector: MTCNNDetector) -> None:
    plain = MTCNNDetector(DetectorSettings(cut_faces=False))
    for image in (grace_hopper(), side_by_side()):
        assert [f.box for f in detector.detect(image)] == [f.box for f in plain.detect(image)]


def missed(detector: MTCNNDetector, image: np.ndarray) -> tuple[int, list[list[float]]]:
    """How many faces MTCNN finds as facenet-pytorch sets it up, and those whose middle no face of ours covers."""
    boxes, _ = MTCNN(keep_all=True).detect(image)
    found = [face.box for face in detector.detect(image)]
    middles = [((b[0] + b[2]) / 2, (b[1] + b[3]) / 2) for b in boxes] if boxes is not None else []
    left = [m for m in middles if not any(f[0] <= m[0] <= f[2] and f[1] <= m[1] <= f[3] for f in found)]
    return len(middles), [list(m) for m in left]


def test_no_face_that_plain_mtcnn_finds_is_passed_over(detector: MTCNNDetector) -> None:
    pair = Image.fromarray(side_by_side())
    total = 0
    for width in (90, 131, 197, 260):
        image = np.asarray(pair.resize((width, pair.height * width // pair.width)))
        count, left = missed(detector, image)
        assert not left, width
        total += count
    assert total >= 6


def test_a_check_sees_what_every_pass_found_also_behind_a_neighbour(detector: MTCNNDetector) -> None:
    image = side_by_side()
    boxes, _ = MTCNN(keep_all=True).detect(image)
    every = [face.box for face in detector.detect_every(image)]
    assert len(boxes) >= 2
    apart = np.abs(np.array(every)[:, None] - boxes[None].astype(float)).max(axis=2)
    assert (apart.min(axis=0) < 1e-2).all(), "what plain MTCNN finds, to the hundredth of a pixel"
    assert len(every) > len(detector.detect(image)), "faces that several passes found stand there several times"


@pytest.mark.real
def test_a_background_face_that_the_close_look_alone_passes_over(detector: MTCNNDetector) -> None:
    shards = sorted((Path(__file__).resolve().parents[3] / "shared" / "data").glob("lfw-dev-*.tar"))
    if not shards:
        pytest.skip("needs lfw-dev shards beside the checkout")
    for shard in shards:
        with tarfile.open(shard) as tar:
            if "Walter_Mondale_0007.jpg" in tar.getnames():
                file = tar.extractfile("Walter_Mondale_0007.jpg")
                assert file is not None
                image = np.asarray(Image.open(io.BytesIO(file.read())).convert("RGB"))
                count, left = missed(detector, image)
                assert count >= 2 and not left
                return
    pytest.fail("the picture is not in the shards")
