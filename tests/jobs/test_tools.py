"""The real parts fit the seam."""

from collections.abc import Callable

import pytest

from cfanet.errors import ConfigError
from cfanet.seeds import SeedKey
from jobs.config import ReleaseConfig
from jobs.tools import RealTools
from tests.jobs.fakes import picture


def test_an_obscuring_anonymizer_needs_no_networks_but_the_detector(make_config: Callable[..., ReleaseConfig]) -> None:
    tools = RealTools(make_config(anonymize__method="mask"))
    anonymizer = tools.anonymizer(SeedKey.random(), {})
    assert tools.loop_recognizers() == {} == dict(anonymizer.loop_recognizers)
    (result,) = anonymizer.run([picture()], ["a"])
    assert result.image is not None and anonymizer.check_released(picture(), result.image, result) == []
    assert len(anonymizer.model_digest) == 64


def test_judges_are_known_by_name_and_only_once(make_config: Callable[..., ReleaseConfig]) -> None:
    assert list(RealTools(make_config()).judges()) == ["dlib"]
    with pytest.raises(ConfigError, match="'dlib' twice"):
        RealTools(make_config(audit__recognizers=["dlib", "dlib"])).judges()
    with pytest.raises(ConfigError, match="unknown recognizer 'nobody'"):
        RealTools(make_config(audit__recognizers=["nobody"])).judges()


def test_the_second_detector_is_the_configured_one(make_config: Callable[..., ReleaseConfig]) -> None:
    assert RealTools(make_config()).second_detector().name == "dlib-hog"
    assert RealTools(make_config(audit__second_detector="none")).second_detector().detect(picture()) == []


def test_who_taught_the_default_generator_is_known(make_config: Callable[..., ReleaseConfig]) -> None:
    guides = RealTools(make_config()).training_guides()
    assert guides and all(len(digest) == 64 for digest in guides.values())
    assert RealTools(make_config(anonymize__method="mask")).training_guides() == {}
