import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cfanet.config import DetectorSettings
from cfanet.detect import MTCNNDetector
from cfanet.errors import ConfigError, WeightsError
from cfanet.recognizers import DlibRecognizer, load_recognizer, threshold_at
from cfanet.records import ImageArray, Landmarks
from tests.cfanet.portraits import eileen_collins, grace_hopper


class TinyNet(nn.Module):
    """A known answer: the mean colour of the crop, in the network's input range."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3))


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.pt"
    torch.jit.script(TinyNet()).save(str(path))
    return path


def landmarks(image: ImageArray) -> Landmarks:
    return MTCNNDetector(DetectorSettings(min_face_px=40)).detect(image)[0].landmarks


def test_dlib_knows_a_person_in_another_picture_and_tells_two_people_apart() -> None:
    recognizer = DlibRecognizer()
    hopper, collins = grace_hopper(), eileen_collins()
    darker = (hopper[::2, ::2].astype(float) * 0.7).astype(np.uint8)
    vectors = recognizer.embed([hopper, darker, collins], [landmarks(i) for i in (hopper, darker, collins)])
    assert vectors.shape == (3, recognizer.dim)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    threshold = recognizer.threshold(1e-3)
    assert vectors[0] @ vectors[1] > threshold > vectors[0] @ vectors[2]


def test_one_face_at_a_time_gives_the_same_vectors() -> None:
    recognizer, faces = DlibRecognizer(), [grace_hopper(), eileen_collins()]
    points = [landmarks(face) for face in faces]
    together = recognizer.embed(faces, points)
    assert np.array_equal(together[1:], recognizer.embed(faces[1:], points[1:]))


def test_a_torchscript_file_is_used_as_its_descriptor_says(tiny: Path) -> None:
    Path(f"{tiny}.json").write_text(json.dumps({"height": 20, "width": 20, "mean": 0.0, "std": 255.0,
        "points": [[6, 8], [14, 8], [10, 12], [7, 15], [13, 15]], "thresholds": {"0.001": 0.9}}))  # fmt: skip
    recognizer = load_recognizer(f"torchscript:{tiny}")
    image = np.full((50, 50, 3), (255, 0, 0), np.uint8)
    five = np.array([[16, 18], [24, 18], [20, 22], [17, 25], [23, 25]], np.float32)
    assert np.allclose(recognizer.embed([image], [five]), [[1.0, 0.0, 0.0]], atol=1e-5)
    assert recognizer.threshold(1e-3) == 0.9
    assert len(recognizer.digest) == 64


def test_nothing_to_embed_gives_no_rows(tiny: Path) -> None:
    assert load_recognizer(f"torchscript:{tiny}").embed([], []).shape == (0, 3)


def test_an_unknown_key_in_a_descriptor_is_named(tiny: Path) -> None:
    Path(f"{tiny}.json").write_text('{"heigth": 20}')
    with pytest.raises(ConfigError, match="heigth"):
        load_recognizer(f"torchscript:{tiny}")


def test_unknown_recognizers_missing_and_wrong_files_are_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pt"
    wrong.write_bytes(b"not a network")
    with pytest.raises(ConfigError, match="facenet-vggface2"):
        load_recognizer("arcfase")
    with pytest.raises(WeightsError, match="does not exist"):
        load_recognizer(f"torchscript:{tmp_path / 'missing.pt'}")
    with pytest.raises(WeightsError, match="not a TorchScript file"):
        load_recognizer(f"torchscript:{wrong}")


def test_a_threshold_that_was_never_measured_is_not_invented() -> None:
    assert threshold_at("r", {1e-3: 0.5}, 1e-3) == 0.5
    with pytest.raises(ConfigError, match=r"measured: 0\.001"):
        threshold_at("r", {1e-3: 0.5}, 1e-6)
