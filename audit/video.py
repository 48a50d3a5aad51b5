"""What a released video file carries beside pictures and sound: titles, places, dates, subtitles, covers, chapters."""

from collections.abc import Iterator, Mapping
from typing import BinaryIO

_DEMUXERS = {"m4v": "mp4", "mkv": "matroska"}
# What muxers write by themselves: brands of the container, names of handlers, and how long a stream is.
_WRITTEN_ALWAYS = {
    "major_brand": None,
    "minor_version": None,
    "compatible_brands": None,
    "duration": None,
    "handler_name": {"VideoHandler", "SoundHandler"},
    "vendor_id": {"[0][0][0][0]", "FFMP"},
    "language": {"und", "eng"},
    "encoder": {"Lavf"},
}


def inspect_video(file: BinaryIO, extension: str) -> tuple[str, ...]:
    """What the file carries beyond its pictures, its sound and their timing; empty when it is clean.

    Findings are short and name the place, never the content. A file that cannot be opened is a finding too.
    """
    import av

    try:
        with av.open(file, "r", format=_DEMUXERS.get(extension, extension)) as container:
            return tuple(dict.fromkeys(_findings(container)))
    except (av.error.FFmpegError, ValueError):
        return ("broken container: it cannot be opened",)


def _findings(container: "av.container.InputContainer") -> Iterator[str]:  # type: ignore[name-defined]  # noqa: F821
    yield from (f"container metadata: {key}" for key in _unknown(container.metadata))
    if container.chapters():
        yield "chapters"
    pictures = 0
    for stream in container.streams:
        if stream.type == "video":
            pictures += 1
        elif stream.type != "audio":
            yield f"a stream of kind {stream.type}"
        yield from (f"metadata of stream {stream.index}: {key}" for key in _unknown(stream.metadata))
    if pictures != 1:
        yield f"{pictures} picture streams"


def _unknown(metadata: Mapping[str, str]) -> Iterator[str]:
    for key, value in metadata.items():
        name = key.lower()
        if name not in _WRITTEN_ALWAYS:
            yield name
            continue
        allowed = _WRITTEN_ALWAYS[name]
        if allowed is not None and value not in allowed:
            yield name
