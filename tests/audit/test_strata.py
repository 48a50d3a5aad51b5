import numpy as np
import pytest

from audit.strata import pose_of, strata_of
from tests.audit.fakes import detection


@pytest.mark.parametrize(("nose", "pose"), [(50, "frontal"), (59, "turned"), (41, "turned"), (75, "profile")])
def test_pose_is_where_the_nose_lies_between_the_eyes(nose: float, pose: str) -> None:
    points = np.array([[30, 40], [70, 40], [nose, 60], [35, 80], [65, 80]], np.float32)
    assert pose_of(points) == pose
    turned = points[:, ::-1] * np.array([-1, 1], np.float32)  # by 90 degrees in the plane: still the same pose
    assert pose_of(turned) == pose


def test_a_face_has_one_value_in_every_dimension() -> None:
    box = (0.0, 0.0, 50.0, 90.0)
    found = strata_of(box, (100, 100), 0.95, detection(box).landmarks, {"age": "20-29", "none": ""})
    assert found.pop("share in the picture") == "0.8 or more"
    assert found == {"size": "48 to 96 px", "pose": "frontal", "score": "0.9 to 0.99", "label:age": "20-29"}
    assert strata_of((0, 0, 500, 400), (400, 300), None, None, {}) == {
        "size": "192 px or more",
        "share in the picture": "0.5 to 0.8",
    }
    assert strata_of((0, 0, 9, 24), (50, 50), 0.2, None, {})["size"] == "below 24 px"
