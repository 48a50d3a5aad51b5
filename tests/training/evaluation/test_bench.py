"""What is asked for is checked before anything is computed."""

from dataclasses import replace
from pathlib import Path

import pytest

from cfanet.errors import ConfigError
from training.evaluation.anonymized import Maker
from training.evaluation.bench import Bench, Request


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"method": "swirl"}, "unknown method 'swirl'"),
        ({"angle_deg": 200.0}, r"angle 200 is not in \[0, 180\]"),
        ({"loops": ("maybe",)}, "use on or off"),
        ({"recognizers": ("nobody",)}, "unknown recognizer 'nobody'"),
    ],
)
def test_a_wrong_request_is_refused(change: dict[str, object], sentence: str, dataset: Path, tmp_path: Path) -> None:
    values = {"source": dataset, "out": tmp_path, "recognizers": (), **change}
    with pytest.raises(ConfigError, match=sentence):
        Bench(Request(**values))  # type: ignore[arg-type]


def test_the_loops_gallery_is_every_face_of_the_pictures(dataset: Path, out: Path) -> None:
    bench = Bench(Request(dataset, out, (), limit=2, generator=str(dataset / "tiny.safetensors")))
    looks = bench.looks(bench.chosen())
    galleries = bench._galleries(bench.maker("off", {}), looks)
    references = galleries["identity-branch"]
    assert len(references.ids) == sum(len(look.faces) for look in looks.values()) >= 2
    assert {name.partition("#")[0] for name in references.ids} == {"hopper_0", "hopper_1"}


def test_classic_methods_have_one_variant_and_repeated_loops_count_once(dataset: Path, tmp_path: Path) -> None:
    assert Bench(Request(dataset, tmp_path, (), method="blur")).variants() == (("blur", "off"),)
    repeated = Bench(Request(dataset, tmp_path, (), loops=("off", "on", "off"))).variants()
    assert repeated == (("cfa, loop off", "off"), ("cfa, loop on", "on"))


def test_with_a_limit_the_loop_still_looks_at_all_originals_where_the_whole_gallery_is_wanted(
    dataset: Path, out: Path
) -> None:
    few = Request(dataset, out, (), limit=2, generator=str(dataset / "tiny.safetensors"))
    for whole, people in ((False, {"hopper"}), (True, {"hopper", "collins"})):
        bench = Bench(replace(few, whole_gallery=whole))
        maker = bench.maker("on", bench.looks(bench.chosen()))
        assert isinstance(maker, Maker)
        galleries = maker.anonymizer._parts.galleries
        ids = galleries["identity-branch"].ids
        assert {name.partition("_")[0] for name in ids} == people
        said = bench.conditions("on")
        assert f"all {len(ids):,} faces" in said and ("all pictures of the data" in said) == whole
    assert bench.conditions("off").startswith("Loop off")
