import pytest
from pydantic import ValidationError

from cfanet.config import AnonymizeSettings


def test_defaults_are_valid_and_frozen() -> None:
    settings = AnonymizeSettings()
    with pytest.raises(ValidationError):
        settings.angle_deg = 10.0


@pytest.mark.parametrize(
    "values",
    [
        {"angel_deg": 90},
        {"angle_deg": 181},
        {"loop": {"threshold": 2.5}},
        {"loop": {"recognizers": []}},
        {"detector": {"min_face_px": 2}},
        {"method": "swirl"},
    ],
)
def test_unknown_keys_and_values_out_of_range_are_errors(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        AnonymizeSettings.model_validate(values)
