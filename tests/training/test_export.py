import torch

from cfanet.hypersphere import normalise
from training.export import fit_thresholds


def test_a_threshold_lets_through_the_stated_share_of_impostors() -> None:
    vectors = normalise(torch.randn(300, 16, generator=torch.Generator().manual_seed(0)))
    identity = torch.arange(300) // 2
    thresholds = fit_thresholds(vectors, identity)
    similarity = vectors.double() @ vectors.double().T
    rows, columns = torch.triu_indices(300, 300, 1)
    impostors = similarity[rows, columns][identity[rows] != identity[columns]]
    assert set(thresholds) == {5e-2, 1e-2, 1e-3}, "45,000 pairs cannot support 1e-4"
    for fmr, threshold in thresholds.items():
        assert abs(float((impostors > threshold).double().mean()) - fmr) < 2 / len(impostors)
