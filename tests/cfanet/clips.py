"""Short videos made of portraits: a camera that pans, zooms and turns; a tone for sound; frames at uneven times."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from PIL import Image

from cfanet.records import ImageArray

CODECS = {  # extension -> (muxer, picture codec, sound codec, time base)
    "mp4": ("mp4", "libx264", "aac", Fraction(1, 15360)),
    "mov": ("mov", "libx264", "aac", Fraction(1, 15360)),
    "mkv": ("matroska", "libx264", "libopus", Fraction(1, 1000)),
    "webm": ("webm", "libvpx-vp9", "libopus", Fraction(1, 1000)),
    "avi": ("avi", "mpeg4", "libmp3lame", Fraction(1, 25)),
}
UNEVEN_S = (0.0, 0.04, 0.08, 0.14, 0.2, 0.22, 0.28, 0.32, 0.44, 0.48)
"""Times of the frames of a clip with a variable frame rate."""


Look = tuple[tuple[float, float], float, float]
"""Where a camera looks: at which point of a picture, how many pixels wide, turned by how many degrees."""


def view(image: ImageArray, centre: tuple[float, float], width: float, turn_deg: float = 0.0) -> ImageArray:
    """(180, 240, 3): what a camera sees that looks at `centre`, `width` pixels wide."""
    turned = Image.fromarray(image).rotate(turn_deg, Image.Resampling.BILINEAR, center=centre)
    x, y, half, up = *centre, width / 2, width * 3 / 8
    return np.asarray(turned.resize((240, 180), Image.Resampling.BILINEAR, (x - half, y - up, x + half, y + up)))


def pan_looks(start: tuple[float, float], step: tuple[float, float], count: int) -> list[Look]:
    """A camera that moves by `step` a frame, draws nearer, and turns a little; it stays within the picture."""
    return [((start[0] + n * step[0], start[1] + n * step[1]), 240 - 2 * n, 0.5 * n) for n in range(count)]


def pan(image: ImageArray, start: tuple[float, float], step: tuple[float, float], count: int) -> list[ImageArray]:
    """What the camera of `pan_looks` sees."""
    return [view(image, *look) for look in pan_looks(start, step, count)]


def write_clip(
    path: Path,
    frames: Sequence[ImageArray],
    times_s: Sequence[float] | None = None,
    sound: bool = True,
    prepare: Callable[["av.container.OutputContainer", "av.VideoStream"], None] = lambda output, stream: None,
) -> None:
    """Encode frames, at 25 a second or at their times, and a tone; the title and the place name a person."""
    muxer, codec, sound_codec, base = CODECS[path.suffix[1:]]
    times = times_s if times_s is not None else [n / 25 for n in range(len(frames))]
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format=muxer) as output:
        output.metadata.update({"title": "Eileen Collins", "location": "+27.59+086.56/"})
        options = {"crf": "16", "x264-params": "cpu-independent=1"} if "264" in codec else {"b": "2M"}
        stream = cast("av.VideoStream", output.add_stream(codec, rate=25, options=options))
        stream.height, stream.width = frames[0].shape[:2]
        stream.codec_context.thread_count = 1  # the same frames give the same bytes
        stream.pix_fmt, stream.time_base, stream.codec_context.time_base = "yuv420p", base, base
        prepare(output, stream)
        if sound:
            voice = cast("av.AudioStream", output.add_stream(sound_codec, rate=48000))
            _write_tone(output, voice, times[-1] + 0.04)
        for pixels, time_s in zip(frames, times, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts, frame.time_base = round(time_s / base), base
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def _write_tone(output: "av.container.OutputContainer", stream: "av.AudioStream", seconds: float) -> None:
    wave = np.sin(2 * np.pi * 440 * np.arange(int(48000 * seconds)) / 48000) * 12000
    tone = av.AudioFrame.from_ndarray(wave.astype(np.int16)[None], format="s16", layout="mono")
    tone.sample_rate, tone.pts, tone.time_base = 48000, 0, Fraction(1, 48000)
    stream.codec_context.open()
    context = stream.codec_context
    resampler = av.AudioResampler(context.format.name, "mono", 48000, context.frame_size or 1024)
    for part in [*resampler.resample(tone), *resampler.resample(None)]:
        output.mux(stream.encode(part))
    output.mux(stream.encode(None))


def sound_of(path: Path) -> list[tuple[int | None, bytes]]:
    """Time and bytes of every packet of sound."""
    with av.open(str(path)) as container:
        return [
            (None if packet.pts is None else round(float(packet.pts * packet.time_base) * 1e6), bytes(packet))
            for packet in container.demux(container.streams.audio)
            if packet.dts is not None
        ]
