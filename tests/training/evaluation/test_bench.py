"""What is asked for is checked before anything is computed."""

from pathlib import Path

import pytest

from cfanet.errors import ConfigError
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
