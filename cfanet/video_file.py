"""Video files: frames out, frames in again. Pictures, sound and timing survive the trip; nothing else does.

PyAV (FFmpeg) reads and writes. Frames are turned upright like pictures are, conversions are bit-exact on every
processor, encoders run on one thread: the same frames give the same file everywhere. A file that cannot be decoded to
its end is a PictureError, and so is one of which anything is missing.
"""

import itertools
import logging
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np

from cfanet.errors import ConfigError, PictureError
from cfanet.records import ImageArray

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.video.stream import VideoStream

# Extension -> (demuxer, muxer). The demuxer is fixed, so that a playlist that calls itself a film opens nothing else.
_CONTAINERS = {
    "mp4": ("mp4", "mp4"),
    "m4v": ("mp4", "mp4"),
    "mov": ("mov", "mov"),
    "mkv": ("matroska", "matroska"),
    "webm": ("webm", "webm"),
    "avi": ("avi", "avi"),
}
VIDEO_EXTENSIONS: frozenset[str] = frozenset(_CONTAINERS)
"""Every file name extension that announces a video; lower-case, no dot."""

_ONE_THREAD = {"threads": "1", "flags": "+bitexact"}
# Codec of the source -> encoder and its options. Whatever is not here becomes H.264; VP9 in WebM, MPEG-4 in AVI.
_ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    # Without cpu-independent x264's rate control differs between processors, and from one run to the next.
    "h264": ("libx264", {"crf": "18", "preset": "medium", "x264-params": "cpu-independent=1"}),
    "hevc": ("libx265", {"crf": "20", "preset": "fast", "x265-params": "log-level=error:pools=none:frame-threads=1"}),
    "vp8": ("libvpx", {"crf": "10", "b": "8M", "deadline": "good", "cpu-used": "4"}),
    "vp9": ("libvpx-vp9", {"crf": "24", "b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "0"}),
    "av1": ("libsvtav1", {"crf": "25", "preset": "8", "svtav1-params": "lp=1"}),
    "mpeg4": ("mpeg4", {"flags": "+bitexact+qscale", "global_quality": "236"}),
}
_DEFAULTS = {"webm": "vp9", "avi": "mpeg4"}  # H.264 in AVI loses the time of its frames
_SAMPLINGS = ("yuv444p", "yuv422p")  # kept where the encoder has them; all else is yuv420p
_BT601, _BT709, _UNSPECIFIED = 5, 1, 2  # colour matrices as FFmpeg numbers them
_LIMITED, _FULL = 1, 2
_MISSING_S = 1.0  # of what the header announces; it counts the longest stream, and roughly


@dataclass(frozen=True, eq=False)
class Frame:
    """One decoded picture of a video."""

    number: int  # 0 first
    pts: int  # when it is shown, in units of the stream's time base
    time_s: float
    pixels: ImageArray  # (H, W, 3) uint8 RGB, upright


def check_installed() -> None:
    """ConfigError when PyAV, which is an extra of this package, is not there."""
    try:
        import av  # noqa: F401
    except ImportError as error:
        raise ConfigError("videos need PyAV, which is not installed: pip install 'cfanet[video]'") from error


def read_frames(file: BinaryIO, extension: str, max_megapixels: float) -> Iterator[Frame]:
    """Decode a video from its first to its last frame; one frame is in memory at a time.

    PictureError with reason `undecodable`, `truncated`, `too_large`, `size_changes`, `no_timing` or
    `unsupported_format`, perhaps after some frames: then nothing of the file may be used.
    """
    with _opened(file, extension) as source:
        for frame, _ in _decoded(source, max_megapixels):
            yield frame


def count_frames(file: BinaryIO, extension: str) -> int:
    """About how many frames a video has, by its header and without decoding any; 0 where that is not known."""
    with _opened(file, extension) as source:
        stream, container = source.picture, source.container
        if stream.frames:
            return int(stream.frames)
        length = (container.duration or 0) / 1_000_000
        return round(length * float(stream.average_rate or 0))


def rewrite(
    file: BinaryIO,
    target: Path,
    extension: str,
    change: Callable[[Frame], ImageArray],
    max_megapixels: float = 64.0,
    sound: bool = True,
) -> None:
    """Write a video again to `target`, each frame as `change` returns it; the sound is copied packet by packet.

    Container, codec, size, time base and the time of every frame are kept; titles, dates, places, subtitles, covers,
    chapters and rotation marks are not. Errors as of `read_frames`; `unsupported_format` when no encoder fits.
    """
    import av

    with _opened(file, extension) as source:
        muxer = _CONTAINERS[extension][1]
        options = {"fflags": "+bitexact"}
        with av.open(str(target), "w", format=muxer, options=options) as output:
            writer = _Writer(source, output, muxer, sound)
            try:
                for frame, raw in _decoded(source, max_megapixels, writer.copy):
                    writer.write(frame, raw, change(frame))
                writer.flush()
            except av.error.FFmpegError as error:
                raise PictureError("unsupported_format", f"the video cannot be written again: {_why(error)}") from error


@dataclass(frozen=True, eq=False)
class _Source:
    container: "InputContainer"
    picture: "VideoStream"
    sound: tuple["AudioStream", ...]
    complaints: list[tuple[int, str, str]]  # so far


@contextmanager
def _opened(file: BinaryIO, extension: str) -> Iterator[_Source]:
    check_installed()
    import av

    _check_whole(file, extension)
    with _complaints() as complaints:
        try:
            container = av.open(file, "r", format=_CONTAINERS[extension][0])
        except (av.error.FFmpegError, ValueError) as error:
            raise PictureError("undecodable", f"no {extension} video: {_why(error)}") from error
        with container:
            covers = av.stream.Disposition.attached_pic
            pictures = [stream for stream in container.streams.video if not stream.disposition & covers]
            if len(pictures) != 1:
                raise PictureError("unsupported_format", f"{len(pictures)} picture streams: one can be processed")
            yield _Source(container, pictures[0], tuple(container.streams.audio), complaints)


@contextmanager
def _complaints() -> "Iterator[list[tuple[int, str, str]]]":
    """What FFmpeg calls an error while the block runs: often the only sign that it left something out."""
    import av.logging

    # Never lowered again: another video may still be open.
    av.logging.set_level(av.logging.ERROR)
    logging.getLogger("libav").addHandler(_NOWHERE)
    with av.logging.Capture() as found:
        yield found


_NOWHERE = logging.NullHandler()  # errors are raised, not printed


def _decoded(
    source: _Source, max_megapixels: float, other: "Callable[[Packet[Any]], None]" = lambda packet: None
) -> "Iterator[tuple[Frame, VideoFrame]]":
    """Frames of the picture stream, upright and as decoded; packets of all other streams go to `other`."""
    import av

    context = source.picture.codec_context
    megapixels = context.width * context.height / 1e6
    if megapixels > max_megapixels:
        detail = f"{context.width}×{context.height} is {megapixels:.1f} megapixels; the limit is {max_megapixels:g}"
        raise PictureError("too_large", detail)
    context.thread_count, context.options = 1, {"err_detect": "explode"}
    numbers, last, size, end = itertools.count(), None, None, 0.0
    try:
        for packet in source.container.demux():
            if packet.is_corrupt:
                raise PictureError("undecodable", f"a packet at {packet.pts} is damaged")
            if packet.pts is not None:
                end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            if packet.stream is not source.picture:
                other(packet)
                continue
            for raw in cast("list[VideoFrame]", packet.decode()):
                size = size or (raw.width, raw.height)
                last = _time_of(raw, size, last)
                time_s = float(last * (source.picture.time_base or 0))
                yield Frame(next(numbers), last, time_s, _upright(to_rgb(raw), raw)), raw
    except av.error.FFmpegError as error:
        raise PictureError("undecodable", f"decoding stops after {last} ({_why(error)})") from error
    _check_complete(source, next(numbers), end)


def _check_complete(source: _Source, found: int, end: float) -> None:
    expected, length = source.picture.frames, (source.container.duration or 0) / 1e6
    if not found or (expected and found < expected - 1):  # an edit list may hide a frame
        raise PictureError("truncated", f"{found} frames could be decoded; the header announces {expected}")
    if end < length - _MISSING_S:
        raise PictureError(
            "truncated", f"the file ends after {end:.1f} of the {length:.1f} s that its header announces"
        )
    if source.complaints:
        _, who, what = source.complaints[0]
        raise PictureError("undecodable", f"damaged: {who} says {what.strip()!r}")


def _time_of(raw: "VideoFrame", size: tuple[int, int], last: int | None) -> int:
    """When a frame is shown; PictureError when it cannot follow the one at `last`."""
    if raw.is_corrupt:
        raise PictureError("undecodable", f"the frame at {raw.pts} is damaged")
    if (raw.width, raw.height) != size:
        raise PictureError("size_changes", f"the size changes from {size} to {(raw.width, raw.height)}")
    if raw.pts is None or (last is not None and raw.pts <= last):
        raise PictureError("no_timing", f"a frame at {raw.pts} follows one at {last}")
    return raw.pts


class _Writer:
    """Encodes frames and copies packets of sound."""

    def __init__(self, source: _Source, output: "OutputContainer", muxer: str, sound: bool) -> None:
        self._source = source
        self._output = output
        self._muxer = muxer
        self._copies = {s: output.add_stream_from_template(s) for s in source.sound} if sound else {}
        for stream in self._copies.values():
            stream.metadata.clear()
        self._picture: VideoStream | None = None  # set up by the first frame, which knows its size and colours
        self._waiting: list[Packet[Any]] = []  # sound that comes before the first frame

    def copy(self, packet: "Packet[Any]") -> None:
        """Take one packet of sound as it is; packets of other streams are dropped."""
        if packet.dts is None or packet.stream not in self._copies:  # without a time: the end mark
            return
        if self._picture is None:
            self._waiting.append(packet)
            return
        packet.stream = self._copies[packet.stream]
        self._output.mux(packet)

    def write(self, frame: Frame, raw: "VideoFrame", pixels: ImageArray) -> None:
        """Encode one frame at the time of the one it replaces."""
        import av

        if self._picture is None:
            self._picture = self._set_up(raw, pixels)
            waiting, self._waiting = self._waiting, []
            for packet in waiting:
                self.copy(packet)
        shown = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        written = shown.reformat(
            format=self._picture.codec_context.pix_fmt,
            interpolation=_exact(),
            src_color_range=_FULL,
            dst_colorspace=_matrix(raw),
            dst_color_range=_range(raw),
            threads=1,
        )
        written.pts, written.time_base = frame.pts, self._source.picture.time_base
        self._output.mux(self._picture.encode(written))

    def _set_up(self, raw: "VideoFrame", pixels: ImageArray) -> "VideoStream":
        codec, options = self._encoder()
        stream = cast("VideoStream", self._output.add_stream(codec, options=_ONE_THREAD | options))
        context, theirs = stream.codec_context, self._source.picture
        context.width, context.height = pixels.shape[1], pixels.shape[0]
        known = {found.name for found in context.codec.video_formats or ()}
        context.pix_fmt = next((s for s in _SAMPLINGS if raw.format.name.startswith(s) and s in known), "yuv420p")
        context.time_base = stream.time_base = theirs.time_base or Fraction(1, 1000)
        rate = theirs.average_rate or theirs.guessed_rate
        context.framerate = Fraction(rate) if rate else Fraction(25)
        context.thread_count = 1
        context.color_range, context.colorspace = raw.color_range, raw.colorspace
        context.color_primaries, context.color_trc = raw.color_primaries, raw.color_trc
        aspect = theirs.sample_aspect_ratio
        if aspect:
            context.sample_aspect_ratio = 1 / aspect if _turned(raw) else aspect
        return stream

    def _encoder(self) -> tuple[str, dict[str, str]]:
        name = self._source.picture.codec_context.codec.canonical_name
        if name not in _ENCODERS or (name == "mpeg4") != (self._muxer == "avi"):
            name = _DEFAULTS.get(self._muxer, "h264")
        return _ENCODERS[name]

    def flush(self) -> None:
        """Write what the encoder still holds."""
        if self._picture is not None:
            self._output.mux(self._picture.encode(None))


def to_rgb(raw: "VideoFrame") -> ImageArray:
    """(H, W, 3) uint8 RGB of a decoded frame, the same on every processor; not yet upright."""
    rgb = raw.reformat(
        format="rgb24",
        interpolation=_exact(),
        src_colorspace=_matrix(raw),
        src_color_range=_range(raw),
        dst_color_range=_FULL,
        threads=1,
    )
    return cast(ImageArray, rgb.to_ndarray())


def _exact() -> Any:
    from av.video.reformatter import Interpolation

    return Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.BITEXACT | Interpolation.FULL_CHR_H_INT


def _matrix(raw: "VideoFrame") -> int:
    """The colour matrix; where the file does not say, the usual one for its size."""
    known = int(raw.colorspace)
    if known != _UNSPECIFIED:
        return known
    return _BT709 if min(raw.height, raw.width) >= 720 else _BT601


def _range(raw: "VideoFrame") -> int:
    return _FULL if int(raw.color_range) == _FULL or raw.format.name.startswith("yuvj") else _LIMITED


def _display(raw: "VideoFrame") -> tuple[int, int, int, int]:
    """Signs of the display matrix (a, b, c, d): x' = a·x + c·y, y' = b·x + d·y; quarter turns and mirrors only."""
    data: Any = raw.side_data.get("DISPLAYMATRIX")
    if data is None:
        return 1, 0, 0, 1
    a, b, _, c, d, *_ = struct.unpack("<9i", bytes(data)[:36])
    signs = tuple(round(value / 65536) for value in (a, b, c, d))
    if signs not in _QUARTERS:
        raise PictureError("unsupported_format", "the picture is turned by something else than quarters")
    return signs[0], signs[1], signs[2], signs[3]


_QUARTERS = {(a, 0, 0, d) for a in (1, -1) for d in (1, -1)} | {(0, b, c, 0) for b in (1, -1) for c in (1, -1)}


def _turned(raw: "VideoFrame") -> bool:
    return _display(raw)[0] == 0


def _upright(pixels: ImageArray, raw: "VideoFrame") -> ImageArray:
    a, b, c, d = _display(raw)
    if a == 0:
        pixels, a, d = pixels.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(pixels[:: 1 if d > 0 else -1, :: 1 if a > 0 else -1])


def _check_whole(file: BinaryIO, extension: str) -> None:
    """PictureError when the outermost boxes of a file announce more bytes than there are; FFmpeg does not care."""
    end = file.seek(0, 2)
    position = 0
    while position + 12 <= end:
        file.seek(position)
        size = _box_size(file.read(16), extension)
        if size is None:  # open-ended, or nothing that could be checked
            break
        position += size
    file.seek(0)
    if position > end:
        raise PictureError("truncated", f"{end} bytes of the {position} that its header announces")


def _box_size(head: bytes, extension: str) -> int | None:
    """Bytes of the outermost box that starts here, its header included; None where it does not say."""
    if extension == "avi":
        return 8 + int.from_bytes(head[4:8], "little") if head[:4] == b"RIFF" else None
    if extension in ("mkv", "webm"):
        id_bytes = 9 - head[0].bit_length()
        first = head[id_bytes]
        length = 9 - first.bit_length() if first else 9
        raw = int.from_bytes(head[id_bytes : id_bytes + length], "big") & ((1 << 7 * length) - 1)
        unknown = length > 8 or raw == (1 << 7 * length) - 1
        return None if unknown else id_bytes + length + raw
    size = int.from_bytes(head[:4], "big")
    if size == 1:
        size = int.from_bytes(head[8:16], "big")
    return size if size >= 8 else None


def _why(error: Exception) -> str:
    return str(error).partition("\n")[0]
