import io
import tracemalloc
from pathlib import Path

import av
import numpy as np
import pytest

from cfanet.errors import PictureError
from cfanet.records import ImageArray
from cfanet.video_file import VIDEO_EXTENSIONS, Frame, count_frames, read_frames, rewrite
from tests.cfanet.clips import CODECS, UNEVEN_S, pan, sound_of, write_clip
from tests.cfanet.portraits import eileen_collins


def read(path: Path) -> list[Frame]:
    with path.open("rb") as file:
        return list(read_frames(file, path.suffix[1:], 64.0))


def rewritten(source: Path, target: Path, sound: bool = True) -> Path:
    with source.open("rb") as file:
        rewrite(file, target, source.suffix[1:], same, sound=sound)
    return target


def same(frame: Frame) -> ImageArray:
    return frame.pixels


def collins(count: int = len(UNEVEN_S)) -> list[ImageArray]:
    return pan(eileen_collins(), (230, 120), (-2, 1), count)


def test_the_clips_cover_the_containers() -> None:
    assert {"m4v", *CODECS} == VIDEO_EXTENSIONS


@pytest.mark.parametrize("extension", sorted(CODECS))
def test_pictures_times_and_sound_survive(extension: str, tmp_path: Path) -> None:
    source = tmp_path / f"clip.{extension}"
    write_clip(source, collins(), None if extension == "avi" else UNEVEN_S)
    target = rewritten(source, tmp_path / f"out.{extension}")
    before, after = read(source), read(target)
    assert len(before) == len(UNEVEN_S) and [f.number for f in after] == list(range(len(UNEVEN_S)))
    assert [f.time_s for f in before] == [f.time_s for f in after]
    assert extension == "avi" or np.allclose([f.time_s for f in after], UNEVEN_S, atol=6e-4)
    assert all(a.pixels.shape == (180, 240, 3) for a in after)
    assert max(np.abs(a.pixels.astype(int) - b.pixels).mean() for a, b in zip(before, after, strict=True)) < 2.5
    assert sound_of(source) and sound_of(source) == sound_of(target)


@pytest.mark.parametrize("extension", ["mp4", "mkv", "webm"])
def test_nothing_else_survives(extension: str, tmp_path: Path) -> None:
    source = tmp_path / f"clip.{extension}"
    write_clip(source, collins(4))
    assert b"Eileen Collins" in source.read_bytes()
    assert b"Collins" not in rewritten(source, tmp_path / f"out.{extension}").read_bytes()
    silent = rewritten(source, tmp_path / f"silent.{extension}", sound=False)
    with av.open(str(silent)) as container:
        assert [stream.type for stream in container.streams] == ["video"]


def test_attachments_do_not_survive(tmp_path: Path) -> None:
    source = tmp_path / "clip.mkv"
    attach = "collins.txt", "text/plain", b"Eileen Collins, 19 November 1956"
    write_clip(source, collins(2), prepare=lambda output, stream: output.add_attachment(*attach) and None)
    assert b"19 November" in source.read_bytes()
    assert b"19 November" not in rewritten(source, tmp_path / "out.mkv").read_bytes()


@pytest.mark.parametrize("extension", sorted(CODECS))
def test_equal_frames_give_equal_bytes(extension: str, tmp_path: Path) -> None:
    source = tmp_path / f"clip.{extension}"
    write_clip(source, collins())
    made = {rewritten(source, tmp_path / f"{n}.{extension}").read_bytes() for n in range(5)}
    assert len(made) == 1


@pytest.mark.parametrize(("degrees", "turns"), [(90, 1), (180, 2), (-90, 3)])
def test_turned_videos_come_out_upright(degrees: int, turns: int, tmp_path: Path) -> None:
    plain, marked = tmp_path / "plain.mp4", tmp_path / "marked.mp4"
    write_clip(plain, collins(2))
    write_clip(marked, collins(2), prepare=lambda output, stream: stream.set_display_rotation(degrees))
    expected = np.rot90(read(plain)[0].pixels, turns)
    assert np.array_equal(read(marked)[0].pixels, expected)
    target = rewritten(marked, tmp_path / "out.mp4")
    assert np.abs(read(target)[0].pixels.astype(int) - expected).mean() < 2.5
    with av.open(str(target)) as container:
        assert next(container.decode(video=0)).rotation == 0


@pytest.mark.parametrize("extension", sorted(CODECS))
@pytest.mark.parametrize("share", [0.2, 0.6, 0.97])
def test_a_cut_file_is_never_taken_for_a_short_one(extension: str, share: float, tmp_path: Path) -> None:
    source = tmp_path / f"clip.{extension}"
    write_clip(source, collins())
    data = source.read_bytes()
    with pytest.raises(PictureError):
        list(read_frames(io.BytesIO(data[: int(len(data) * share)]), extension, 64.0))


def test_a_hole_in_the_middle_is_noticed(tmp_path: Path) -> None:
    """FFmpeg looks for the next thing it understands, and says so only in its log."""
    source = tmp_path / "clip.mkv"
    write_clip(source, collins(), sound=False)
    data = source.read_bytes()
    middle = len(data) // 2
    with pytest.raises(PictureError):
        list(read_frames(io.BytesIO(data[:middle] + bytes(2000) + data[middle + 2000 :]), "mkv", 64.0))


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret.mp4"
    write_clip(secret, collins(2))
    playlist = f"ffconcat version 1.0\nfile '{secret}'\n".encode()
    for data in (b"", b"\x89PNG\r\n\x1a\n" + bytes(64), playlist, b"#EXTM3U\n#EXTINF:1,\n" + str(secret).encode()):
        with pytest.raises(PictureError):
            list(read_frames(io.BytesIO(data), "mp4", 64.0))


def test_two_pictures_at_once_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "two.mkv"
    write_clip(path, collins(2), prepare=lambda output, stream: add_angle(output), sound=False)
    with pytest.raises(PictureError, match="2 picture streams"):
        read(path)


def add_angle(output: "av.container.OutputContainer") -> None:
    stream = output.add_stream("libx264", rate=25)
    stream.width, stream.height, stream.pix_fmt = 240, 180, "yuv420p"


def test_frames_that_are_too_large_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_clip(path, collins(2))
    with path.open("rb") as file, pytest.raises(PictureError, match=r"the limit is 0\.01"):
        next(read_frames(file, "mp4", 0.01))


@pytest.mark.parametrize("extension", sorted(CODECS))
def test_the_header_says_about_how_many_frames_there_are(extension: str, tmp_path: Path) -> None:
    path = tmp_path / f"clip.{extension}"
    write_clip(path, collins(10))
    with path.open("rb") as file:
        assert abs(count_frames(file, extension) - 10) <= 1


def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    source = tmp_path / "long.mp4"
    write_clip(source, collins(4) * 50)
    tracemalloc.start()
    rewritten(source, tmp_path / "out.mp4")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3e6 < 200 * 180 * 240 * 3
