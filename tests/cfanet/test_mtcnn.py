"""The cascade finds what facenet-pytorch finds, whichever searches run together and whatever the picture's shape."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from facenet_pytorch import MTCNN
from PIL import Image

from cfanet.mtcnn import Cascade, Search, _Maximum, _Sums
from cfanet.records import Detection
from tests.cfanet.portraits import grace_hopper, side_by_side

PLAIN = Search(20.0, 0.709, (0.6, 0.7, 0.7))
CLOSE = Search(14.0, 0.8, (0.5, 0.5, 0.5))


@pytest.fixture(scope="module")
def cascade() -> Cascade:
    return Cascade()


def reference(image: np.ndarray, search: Search) -> list[list[float]]:
    """Box, score and points of every face as facenet-pytorch finds them."""
    networks = MTCNN(
        keep_all=True, min_face_size=search.smallest, factor=search.step, thresholds=search.thresholds
    ).eval()
    boxes, scores, points = networks.detect(image, landmarks=True)
    found = zip(boxes, scores, points, strict=True) if boxes is not None else ()
    return sorted([*box, score, *five.ravel()] for box, score, five in found)


def rows(faces: Sequence[Detection]) -> list[list[float]]:
    return sorted([*face.box, face.score, *face.landmarks.ravel()] for face in faces)


@pytest.mark.parametrize("width", [90, 197, 260, 401])
def test_two_searches_together_find_what_each_finds_alone_in_the_original(cascade: Cascade, width: int) -> None:
    pair = Image.fromarray(side_by_side())
    image = np.asarray(pair.resize((width, pair.height * width // pair.width)))
    found = cascade.find(image, [PLAIN, CLOSE])
    assert found[0] or found[1]
    for faces, search in zip(found, (PLAIN, CLOSE), strict=True):
        expected = reference(image, search)
        assert len(faces) == len(expected)
        np.testing.assert_allclose(rows(faces), expected, atol=2e-3)


def test_an_excused_face_is_not_looked_at_and_the_other_is(cascade: Cascade) -> None:
    image = side_by_side()
    middle = image.shape[1] / 2
    both = cascade.find(image, [PLAIN])[0]
    left = cascade.find(image, [PLAIN], lambda boxes: boxes[:, 0] > middle)[0]
    assert len(both) >= 2
    assert rows(left) == pytest.approx(np.array(rows([face for face in both if face.box[0] < middle])), abs=2e-3)
    assert cascade.find(image, [PLAIN], lambda boxes: np.ones(len(boxes), bool)) == [[]]


def test_pictures_that_no_window_fits_into_hold_no_face(cascade: Cascade) -> None:
    assert cascade.find(np.zeros((5, 400, 3), np.uint8), [PLAIN, CLOSE]) == [[], []]
    assert cascade.find(np.full((60, 60, 3), 128, np.uint8), [PLAIN]) == [[]]


def test_sums_give_the_means_that_torch_gives() -> None:
    image = grace_hopper()[:301, :257]
    sums, pixels = _Sums(image, torch.device("cpu")), torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float()
    for size in ((302, 258), (151, 99), (12, 13)):
        assert torch.equal(sums.whole(*size), torch.nn.functional.interpolate(pixels, size, mode="area"))
    boxes = torch.tensor([[1.0, 1.0, 31.9, 30.2], [-7.0, 200.0, 100.0, 400.0], [300.0, 1.0, 320.0, 9.0]])
    chosen, regions = sums.regions(boxes, torch.arange(3), 24)
    assert chosen.tolist() == [0, 1], "the third lies outside"
    for region, (x0, y0, x1, y1) in zip(regions, ((0, 0, 31, 30), (0, 199, 100, 301)), strict=True):
        mean = torch.nn.functional.interpolate(pixels[:, :, y0:y1, x0:x1], (24, 24), mode="area")
        assert torch.equal(region, (mean[0] - 127.5) * 0.0078125)


def test_sums_may_wrap_around() -> None:
    image = np.full((3000, 3000, 3), 255, np.uint8)  # 2.3e9 in all
    assert torch.equal(_Sums(image, torch.device("cpu")).whole(2, 2), torch.full((1, 3, 2, 2), 255.0))


@pytest.mark.parametrize("side", [2, 3])
@pytest.mark.parametrize("shape", [(10, 11), (24, 24), (5, 8)])
def test_maxima_are_those_of_torch(side: int, shape: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *shape, generator=torch.Generator().manual_seed(1))
    assert torch.equal(_Maximum(side)(x), torch.nn.functional.max_pool2d(x, side, 2, ceil_mode=True))
