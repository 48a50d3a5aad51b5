import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from audit.video import inspect_video


def film(path: Path, muxer: str, codec: str, **metadata: str) -> None:
    with av.open(str(path), "w", format=muxer, options={"fflags": "+bitexact"}) as output:
        output.metadata.update(metadata)
        stream = output.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        if "attached" in metadata:
            output.add_attachment("collins.txt", "text/plain", b"Eileen Collins")
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 40 * number, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


FILMS = [("mp4", "mp4", "libx264"), ("mov", "mov", "libx264"), ("mkv", "matroska", "libx264"), ("avi", "avi", "mpeg4"),
         ("webm", "webm", "libvpx-vp9"), ("m4v", "mp4", "libx264")]  # fmt: skip


@pytest.mark.parametrize(("extension", "muxer", "codec"), FILMS)
def test_pictures_alone_are_clean_and_a_title_is_found(extension: str, muxer: str, codec: str, tmp_path: Path) -> None:
    film(tmp_path / "clean", muxer, codec)
    film(tmp_path / "named", muxer, codec, title="Eileen Collins")
    with (tmp_path / "clean").open("rb") as file:
        assert inspect_video(file, extension) == ()
    with (tmp_path / "named").open("rb") as file:
        (found,) = inspect_video(file, extension)
    assert "title" in found and "Collins" not in found


def test_attachments_are_found(tmp_path: Path) -> None:
    film(tmp_path / "film.mkv", "matroska", "libx264", attached="yes")
    with (tmp_path / "film.mkv").open("rb") as file:
        found = inspect_video(file, "mkv")
    assert "a stream of kind attachment" in found and not any("Collins" in text for text in found)


def test_what_cannot_be_opened_is_a_finding() -> None:
    assert inspect_video(io.BytesIO(b"no film"), "mp4") == ("broken container: it cannot be opened",)
