from pathlib import Path

import face_recognition_models
import numpy as np
import pytest
import torch

from cfanet.dlib_network import CHIP_PX, DIM, DlibNetwork
from cfanet.errors import WeightsError
from tests.cfanet.portraits import eileen_collins, grace_hopper
from tests.cfanet.tiny import noise

PATH = Path(face_recognition_models.face_recognition_model_location())


@torch.inference_mode()
def test_its_vectors_are_those_of_dlib_itself() -> None:
    import dlib

    original = dlib.face_recognition_model_v1(str(PATH))
    network = DlibNetwork(PATH)
    flat = np.full((CHIP_PX, CHIP_PX, 3), 200, np.uint8)
    chips = [flat, noise(CHIP_PX, CHIP_PX), grace_hopper()[50:200, 60:210], eileen_collins()[30:180, 40:190]]
    for chip in chips:
        expected = np.array(original.compute_face_descriptor(np.ascontiguousarray(chip)))
        found = network(torch.from_numpy(chip.copy()).permute(2, 0, 1)[None].float())
        assert found.shape == (1, DIM)
        assert np.abs(found[0].numpy() - expected).max() < 1e-5


def test_several_chips_at_once_give_what_each_gives() -> None:
    network = DlibNetwork(PATH)
    chips = torch.rand(3, 3, CHIP_PX, CHIP_PX) * 255
    assert torch.allclose(network(chips), torch.cat([network(chip[None]) for chip in chips]), atol=1e-5)


@pytest.mark.parametrize("data", [b"", b"not a network", PATH.read_bytes()[:1_000_000]])
def test_another_file_is_refused_by_name(data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "other.dat"
    file.write_bytes(data)
    with pytest.raises(WeightsError, match=r"other\.dat"):
        DlibNetwork(file)
    with pytest.raises(WeightsError, match=r"missing\.dat"):
        DlibNetwork(tmp_path / "missing.dat")
