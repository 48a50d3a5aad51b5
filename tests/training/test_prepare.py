import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cfanet.align import crop_points
from cfanet.config import DetectorSettings
from cfanet.detect import MTCNNDetector
from cfanet.errors import InputError
from tests.cfanet.portraits import eileen_collins, grace_hopper, no_face
from tests.cfanet.tiny import face_at
from tests.training.fakes import fake_guide
from training.prepare import CROP_SIZE, main_face, prepare_shard, read_pictures


def write_shard(path: Path) -> None:
    pictures = {"collins": eileen_collins(), "hopper": grace_hopper(), "coffee": no_face()[:, :200]}
    with tarfile.open(path, "w") as tar:
        for name, pixels in pictures.items():
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "JPEG")
            for member, data in (
                (f"{name}.jpg", buffer.getvalue()),
                (f"{name}.json", json.dumps({"identity": name}).encode()),
            ):
                info = tarfile.TarInfo(member)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


def test_keeps_clear_faces_aligned_and_labelled(tmp_path: Path) -> None:
    write_shard(tmp_path / "shard.tar")
    count = prepare_shard(
        tmp_path / "shard.tar", tmp_path / "out", MTCNNDetector(DetectorSettings(min_face_px=40)), fake_guide()
    )
    assert count == 2
    index = np.load(tmp_path / "out" / "shard.npz")
    assert index["identity"].tolist() == ["collins", "hopper"]
    assert np.allclose(np.linalg.norm(index["embedding"], axis=1), 1, atol=1e-5)
    offset = np.abs(index["landmarks"] - crop_points(CROP_SIZE)).mean()
    assert offset < 4, "landmarks lie where the alignment puts them"
    assert [key for key, _, _ in read_pictures(tmp_path / "out" / "shard.tar")] == ["collins", "hopper"]


def test_the_main_face_is_clear_large_and_central() -> None:
    central, aside = face_at(100, 100, 60), face_at(20, 100, 60)
    small, doubtful = face_at(100, 100, 20), face_at(100, 100, 60, score=0.5)
    assert main_face([aside, small, doubtful, central], 200, 200) is central
    assert main_face([small, doubtful], 200, 200) is None


def test_a_shard_without_pictures_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "empty.tar", "w"):
        pass
    with pytest.raises(InputError, match="holds no pictures"):
        list(read_pictures(tmp_path / "empty.tar"))
