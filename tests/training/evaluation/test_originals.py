"""Originals are looked at once, in any number of processes."""

from pathlib import Path

import pytest

from cfanet.recognizers import DlibRecognizer
from cfanet.records import Embeddings, ImageArray, Landmarks
from training.evaluation.bench import Bench, Request
from training.evaluation.originals import prepare_originals


@pytest.mark.parametrize("workers", [1, 2])
def test_what_was_prepared_is_not_computed_again(
    workers: int, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = Request(dataset, tmp_path, ("dlib",), 1, str(dataset / "tiny.safetensors"), method="mask")
    prepare_originals(request, workers)
    embed = DlibRecognizer.embed

    def only_the_pattern(judge: DlibRecognizer, images: list[ImageArray], five: list[Landmarks]) -> Embeddings:
        assert [image.shape for image in images] == [(200, 200, 3)], "computed a second time"
        return embed(judge, images, five)

    monkeypatch.setattr(DlibRecognizer, "embed", only_the_pattern)
    bench = Bench(request)
    looks = bench.looks(bench.samples)
    found = bench.embeddings(bench.samples, looks)
    assert len(bench.samples) == len(found["dlib"]) == 6
