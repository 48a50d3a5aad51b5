"""k-Same: every donor's output is shared by at least k donors, and is their average."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from cfanet.donors import Donors, as_bytes, as_crop, load_donors
from cfanet.ksame import Eigenfaces, KSame, greedy_groups
from tests.cfanet.donor_files import noise_crops, write_noise_donors

RNG = torch.Generator()
POINTS = torch.zeros(5, 2)


@pytest.fixture
def donors(tmp_path: Path) -> Donors:
    return load_donors(write_noise_donors(tmp_path / "d.safetensors", 11), 3)


@pytest.mark.parametrize(("n", "k"), [(11, 3), (6, 3), (5, 3), (3, 3), (40, 7)])
def test_groups_have_at_least_k_members_and_cover_everyone_once(n: int, k: int) -> None:
    groups = greedy_groups(torch.randn(n, 4, generator=torch.Generator().manual_seed(n)), k)
    assert sorted(i for group in groups for i in group) == list(range(n))
    assert all(k <= len(group) < 2 * k for group in groups)


def test_groups_are_of_nearest_ones_and_copies_do_not_confuse_them() -> None:
    rows = torch.tensor([[0.0], [9.0], [0.1], [9.1], [0.0], [9.2]])
    assert greedy_groups(rows, 3) == [[0, 2, 4], [1, 3, 5]]
    with pytest.raises(ValueError, match="cannot be cut"):
        greedy_groups(rows, 7)


@pytest.mark.parametrize("components", [None, 4])
def test_at_least_k_donors_share_each_output(donors: Donors, components: int | None) -> None:
    method = KSame(donors, 3, components)
    outputs = [method.face(as_crop(crop), POINTS, RNG) for crop in donors.crops]
    for output in outputs:
        assert sum(torch.equal(output, other) for other in outputs) >= 3


def test_the_output_is_the_average_of_the_nearest_donors_group(donors: Donors) -> None:
    method = KSame(donors, 3)
    group = next(g for g in method._groups if 5 in g)
    expected = donors.crops[group].double().mean(0)
    found = as_bytes(method.face(as_crop(donors.crops[5]) * 0.99, POINTS, RNG))[0]
    assert np.allclose(found, expected, atol=0.01)


def test_eigenfaces_are_the_principal_components() -> None:
    crops = noise_crops(9)
    eigen = Eigenfaces(crops, 3)
    rows = torch.nn.functional.interpolate(crops.float(), size=(64, 64), mode="area").flatten(1).numpy()
    reference = PCA(3, svd_solver="full").fit(rows)
    assert np.allclose(np.abs(eigen.project(crops)), np.abs(reference.transform(rows)), rtol=1e-3, atol=0.5)
    assert torch.allclose(Eigenfaces(crops, 99).restore(crops[2].float()), crops[2].float(), atol=1.0)
