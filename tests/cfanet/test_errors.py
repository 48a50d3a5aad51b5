import pickle

from cfanet import errors


def test_exit_codes_are_the_documented_ones() -> None:
    assert errors.CfanetError.exit_code == 1
    assert errors.ConfigError.exit_code == errors.WeightsError.exit_code == errors.InputError.exit_code == 2
    assert errors.GateRefused.exit_code == 3
    assert errors.WithheldError.exit_code == 4


def test_a_picture_error_keeps_its_reason() -> None:
    error = errors.PictureError("truncated", "the file ends early")
    assert (error.reason, str(error)) == ("truncated", "the file ends early")


def test_a_picture_error_survives_the_way_between_processes() -> None:
    error = pickle.loads(pickle.dumps(errors.PictureError("truncated", "the file ends early")))
    assert (error.reason, error.detail, str(error)) == ("truncated", "the file ends early", "the file ends early")
