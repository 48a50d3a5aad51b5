"""Tables 1 and 2 on six real pictures, counted again from the embeddings themselves."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cfanet.config import DetectorSettings
from cfanet.detect import MTCNNDetector
from cfanet.errors import InputError
from cfanet.recognizers import DlibRecognizer
from cfanet.records import Detection, Embeddings, ImageArray, Landmarks
from training.evaluation.anonymized import Maker
from training.evaluation.bench import Request
from training.evaluation.detectors import Observer
from training.evaluation.lfw import LISTED, evaluate_lfw, pair_scores, prepare_lfw
from training.evaluation.pairs import Pair
from training.evaluation.public_domain import many_faces
from training.evaluation.samples import list_samples
from training.prepare import main_face


def run(dataset: Path, out: Path, method: str, loops: tuple[str, ...] = ("off",)) -> dict[str, Any]:
    generator = str(dataset / "tiny.safetensors")
    request = Request(dataset, out, ("dlib",), generator=generator, method=method, loops=loops)
    return dict(json.loads(evaluate_lfw(request, dataset / "pairs.csv", everyone=True)[0].read_text()))


def table(document: dict[str, Any], title: str) -> list[dict[str, Any]]:
    return next(list(found["rows"]) for found in document["tables"] if found["title"].startswith(title))


def test_raw_pictures_of_two_people_are_told_apart_at_the_threshold_of_all_impostors(dataset: Path, out: Path) -> None:
    document = run(dataset, out, "mask")
    raw = table(document, "Raw pictures")
    assert raw[0]["pooled"]["hits"] == raw[0]["pooled"]["n"] == 6
    detector, judge = MTCNNDetector(DetectorSettings()), DlibRecognizer()
    rows = {}
    for sample in list_samples((dataset / "portraits.tar",)):
        pixels = sample.photo().picture.pixels
        face = main_face(detector.detect(pixels), 256, 256)
        assert face is not None
        rows[sample.key] = judge.embed([pixels], [face.landmarks])[0].astype(np.float64)
    impostors = [rows[a] @ rows[b] for a in rows for b in rows if a.startswith("h") and b.startswith("c")]
    threshold = float(raw[3]["threshold"].split()[0])
    assert threshold == pytest.approx(max(impostors), abs=1e-4) and "9 impostors, too few" in raw[3]["threshold"]
    listed = [rows["hopper_0"] @ rows["collins_1"], rows["hopper_1"] @ rows["collins_0"]]
    assert raw[1]["measure"] == LISTED and raw[1]["pooled"]["n"] == 4
    assert float(raw[1]["threshold"].split()[0]) == pytest.approx(max(listed), abs=1e-4)


def test_masked_faces_are_failures_to_detect_and_match_nobody_at_their_place(dataset: Path, out: Path) -> None:
    document = run(dataset, out, "mask")
    rows = table(document, "Table 1: mask")
    assert {row["attacker"] for row in rows} == {"detected again", "at the original's landmarks"}
    again = [row for row in rows if row["attacker"] == "detected again"]
    assert all(row["failures to detect"]["hits"] == 4 and row["pooled"]["n"] == 0 for row in again)
    placed = [row for row in rows if row["attacker"] != "detected again"]
    assert all(row["pooled"]["n"] == 4 and row["failures to detect"]["hits"] == 0 for row in placed)
    assert document["model SHA-256"] and document["recognizers"]["dlib"] and document["date"]


def test_the_second_run_makes_nothing_again_and_finds_the_same(
    dataset: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(dataset, out, "cfa", ("on", "off"))
    embed = DlibRecognizer.embed

    def only_the_pattern(judge: DlibRecognizer, images: list[ImageArray], five: list[Landmarks]) -> Embeddings:
        assert [image.shape for image in images] == [(200, 200, 3)], "computed a second time"
        return embed(judge, images, five)

    monkeypatch.setattr(DlibRecognizer, "embed", only_the_pattern)  # what names the cache's entries
    detect = MTCNNDetector.detect

    def only_the_named(detector: MTCNNDetector, image: ImageArray) -> list[Detection]:
        assert image is many_faces(), "computed a second time"
        return detect(detector, image)

    monkeypatch.setattr(MTCNNDetector, "detect", only_the_named)
    assert run(dataset, out, "cfa", ("on", "off"))["tables"] == first["tables"]
    titles = [found["title"] for found in first["tables"]]
    assert "Table 1: cfa, loop on" in titles and "Table 1: cfa, loop off" in titles
    done = table(first, "What was done: cfa, loop off")[0]
    assert done["subjects"] == "4" and done["replaced"]["hits"] == 4


@pytest.mark.parametrize("workers", [1, 2])
def test_what_was_prepared_is_not_made_again(
    workers: int, dataset: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.evaluation.lfw.run_jobs", lambda jobs, workers: [job() for job in jobs])
    request = Request(dataset, out, ("dlib",), generator=str(dataset / "tiny.safetensors"), loops=("on", "off"))
    prepare_lfw(request, dataset / "pairs.csv", workers)
    made: list[str] = []
    monkeypatch.setattr(Maker, "_run", lambda maker, name, photo, look: made.append(name))
    monkeypatch.setattr(Observer, "_look", lambda observer, name, photo: made.append(name))
    document = json.loads(evaluate_lfw(request, dataset / "pairs.csv")[0].read_text())
    assert not made
    assert [row["subjects"] for row in table(document, "What was done: cfa, loop on")] == ["4"]


def test_ranks_search_all_raw_pictures(dataset: Path, out: Path) -> None:
    document = run(dataset, out, "mask")
    ranks = table(document, "Table 2, ranks: mask")
    assert ranks[0]["rank 1"]["hits"] == ranks[0]["rank 1"]["n"] == 4
    assert "all 6 raw pictures of 2 people" in document["tables"][3]["protocol"]


def test_pairs_that_leave_a_fold_without_threshold_are_refused(dataset: Path, out: Path) -> None:
    request = Request(dataset, out, ("dlib",), limit=1, method="mask")
    with pytest.raises(InputError, match="only 1 folds have a different pair"):
        evaluate_lfw(request, dataset / "pairs.csv")


def test_a_missing_face_is_no_score() -> None:
    unit = np.array([1.0, 0.0])
    pairs = [Pair(0, "a", "b", True), Pair(0, "a", "c", False)]
    scores = pair_scores(pairs, {"a": unit}, {"b": unit}).similarity
    assert scores[0] == 1.0 and math.isnan(scores[1])


@pytest.mark.real
def test_raw_pairs_of_lfw_are_told_apart_as_well_as_the_recognizer_is_known_to(tmp_path: Path) -> None:
    """MobileFaceNet's accuracy on all of LFW is 0.991: of 20 pairs at most one may be wrong."""
    shared = Path(__file__).resolve().parents[4] / "shared"
    shards = sorted((shared / "data").glob("lfw-dev-*.tar"))
    model = shared / "models" / "mobilefacenet-casia-arcface.torchscript.pt"
    if not shards or not model.is_file():
        pytest.skip("needs lfw-dev shards and MobileFaceNet beside the checkout")
    request = Request(shards[0].parent / "lfw-dev-*.tar", tmp_path, (f"torchscript:{model}",), limit=10, method="mask")
    path = evaluate_lfw(request, shards[0].parent / "lfw-dev-pairs.csv")[0]
    accuracy = table(json.loads(path.read_text()), "Raw pictures")[0]["pooled"]
    assert accuracy["n"] >= 19 and accuracy["hits"] >= accuracy["n"] - 1
