"""A file of donors comes back as it was written, or is refused in one sentence."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from cfanet.donors import as_bytes, as_crop, load_donors
from cfanet.errors import ConfigError, InputError
from tests.cfanet.donor_files import noise_crops, write_noise_donors


def test_donors_come_back_as_they_were(tmp_path: Path) -> None:
    donors = load_donors(write_noise_donors(tmp_path / "d.safetensors", 5), 5)
    assert torch.equal(donors.crops, noise_crops(5)) and donors.size == 32
    assert donors.points.shape == (5, 5, 2) and len(donors.digest) == 64
    crop = as_crop(donors.crops[2])
    assert torch.equal(as_bytes(crop).round().byte()[0], donors.crops[2])


def test_what_is_no_file_of_donors_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"anonymize\.donors\.file"):
        load_donors(Path(""), 2)
    with pytest.raises(InputError, match="not a readable file"):
        load_donors(tmp_path / "none.safetensors", 2)
    save_file({"crops": torch.zeros(1)}, str(tmp_path / "other.safetensors"))
    with pytest.raises(InputError, match="cfanet-donors/1"):
        load_donors(tmp_path / "other.safetensors", 2)
    with pytest.raises(ConfigError, match="holds 3 donors, 10 are needed"):
        load_donors(write_noise_donors(tmp_path / "d.safetensors", 3), 10)
