"""What else a released picture file carries. Reads containers byte by byte and never decodes pixels.

A clean file holds pixels and what is needed to decode them. Everything else is a finding: EXIF, XMP, ICC profiles,
APP13 (IPTC and Photoshop thumbnails), comments, text, time stamps, embedded previews, bytes after the end.
"""

import struct
from collections.abc import Iterator

_JPEG_SEGMENTS = {
    0xE1: "APP1",
    0xE2: "APP2",
    0xED: "APP13 (Photoshop, IPTC)",
    0xFE: "comment",
}
_JPEG_PREFIXES = (
    (b"Exif\0", "EXIF"),
    (b"http://ns.adobe.com/x", "XMP"),
    (b"ICC_PROFILE\0", "ICC profile"),
    (b"MPF\0", "multi-picture index"),
)
_PNG_NEEDED = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"sBIT", b"gAMA", b"cHRM", b"sRGB", b"pHYs", b"bKGD"}
_PNG_NAMES = {
    b"tEXt": "text",
    b"zTXt": "compressed text",
    b"iTXt": "international text",
    b"eXIf": "EXIF",
    b"iCCP": "ICC profile",
    b"tIME": "time stamp",
}
_WEBP_NEEDED = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH"}
_WEBP_NAMES = {b"EXIF": "EXIF", b"XMP ": "XMP", b"ICCP": "ICC profile", b"ANIM": "animation", b"ANMF": "animation"}
# Baseline TIFF: size, sample layout, compression, strips or tiles, resolution, palette, predictor, extra samples.
_TIFF_NEEDED = {254, 255, 256, 257, 258, 259, 262, 263, 266, 273, 274, 277, 278, 279, 280, 281, 282, 283, 284, 290, 291}
_TIFF_NEEDED |= {296, 301, 317, 318, 319, 320, 322, 323, 324, 325, 338, 339, 347, 529, 530, 531, 532}
_TIFF_NAMES = {330: "sub-images", 700: "XMP", 33723: "IPTC", 34377: "Photoshop", 34665: "EXIF", 34675: "ICC profile"}
_TIFF_NAMES |= {34853: "GPS", 269: "document name", 270: "description", 305: "software", 306: "date", 315: "artist"}
_TIFF_NAMES |= {316: "host computer", 33432: "copyright", 513: "thumbnail"}
_BMP_V5_HEADER = 124


def inspect_metadata(data: bytes) -> tuple[str, ...]:
    """What a JPEG, PNG, WebP, TIFF, BMP or PNM file carries beyond its pixels; empty when it is clean.

    Findings are short and name the place, never the content. Other formats and broken containers are findings too.
    """
    for signature, reader in _READERS:
        if data.startswith(signature):
            try:
                return tuple(dict.fromkeys(reader(data)))
            except (struct.error, IndexError, ValueError):
                return ("broken container: it cannot be read to its end",)
    return ("unknown container: it cannot be searched for metadata",)


def _jpeg(data: bytes) -> Iterator[str]:
    position = 2
    while True:
        if data[position] != 0xFF:
            raise ValueError("no marker where one must be")
        marker = data[position + 1]
        position += 1 if marker == 0xFF else 2  # 0xFF may be repeated as padding
        if marker == 0xFF or 0xD0 <= marker <= 0xD7 or marker == 0x01:
            continue
        if marker == 0xD9:
            break
        (length,) = struct.unpack_from(">H", data, position)
        yield from _jpeg_segment(marker, data[position + 2 : position + length])
        position += length
        if marker == 0xDA:
            position = _end_of_scan(data, position)
    if position < len(data):
        yield f"{len(data) - position} bytes after the end of the JPEG"


def _jpeg_segment(marker: int, body: bytes) -> Iterator[str]:
    if marker == 0xE0:
        if body.startswith(b"JFXX\0"):
            yield "JPEG APP0: JFXX thumbnail"
        elif not body.startswith(b"JFIF\0"):
            yield "JPEG APP0: unknown content"
        elif body[12] or body[13]:
            yield "JPEG APP0: JFIF thumbnail"
        return
    if marker == 0xEE and body.startswith(b"Adobe") and len(body) == 12:
        return  # says how colours are coded; pixels are wrong without it
    if 0xE0 < marker <= 0xEF or marker == 0xFE:
        kind = next((name for prefix, name in _JPEG_PREFIXES if body.startswith(prefix)), "")
        yield "JPEG " + (kind or _JPEG_SEGMENTS.get(marker, f"APP{marker - 0xE0}"))


def _end_of_scan(data: bytes, position: int) -> int:
    """Position of the next marker that is neither a stuffed byte nor a restart."""
    while True:
        position = data.index(0xFF, position)
        following = data[position + 1]
        if following == 0x00 or 0xD0 <= following <= 0xD7:
            position += 2
        elif following == 0xFF:
            position += 1
        else:
            return position


def _png(data: bytes) -> Iterator[str]:
    position, kind = 8, b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, position)
        position += 12 + length
        if position > len(data):
            raise ValueError("a chunk is longer than the file")
        if kind not in _PNG_NEEDED:
            yield f"PNG {_PNG_NAMES.get(kind, f'chunk {kind!r}')}"
    if position < len(data):
        yield f"{len(data) - position} bytes after the end of the PNG"


def _webp(data: bytes) -> Iterator[str]:
    (length,) = struct.unpack_from("<I", data, 4)
    if data[8:12] != b"WEBP":
        raise ValueError("RIFF, but not WebP")
    end, position = 8 + length, 12
    while position + 8 <= min(end, len(data)):
        kind, size = struct.unpack_from("<4sI", data, position)
        if kind not in _WEBP_NEEDED:
            yield f"WebP {_WEBP_NAMES.get(kind, f'chunk {kind!r}')}"
        position += 8 + size + size % 2
    if position < end or end > len(data):
        raise ValueError("a chunk is longer than the file")
    if end < len(data):
        yield f"{len(data) - end} bytes after the end of the WebP"


def _tiff(data: bytes) -> Iterator[str]:
    order = "<" if data[:2] == b"II" else ">"
    if struct.unpack_from(order + "H", data, 2)[0] != 42:
        raise ValueError("BigTIFF or unknown")
    seen: set[int] = set()
    (offset,) = struct.unpack_from(order + "I", data, 4)
    while offset:
        if offset in seen:
            raise ValueError("directories that point at each other")
        if seen:
            yield "TIFF: more than one picture"
        seen.add(offset)
        (entries,) = struct.unpack_from(order + "H", data, offset)
        for i in range(entries):
            (tag,) = struct.unpack_from(order + "H", data, offset + 2 + 12 * i)
            if tag not in _TIFF_NEEDED:
                yield f"TIFF {_TIFF_NAMES.get(tag, f'tag {tag}')}"
        (offset,) = struct.unpack_from(order + "I", data, offset + 2 + 12 * entries)


def _bmp(data: bytes) -> Iterator[str]:
    size, _, start, header = struct.unpack_from("<IIII", data, 2)
    if header >= _BMP_V5_HEADER and struct.unpack_from("<I", data, 14 + 116)[0]:
        yield "BMP ICC profile"
    palette = struct.unpack_from("<I", data, 14 + 32)[0] if header >= 40 else 0
    bits = struct.unpack_from("<H", data, 14 + (10 if header == 12 else 14))[0]
    colours = palette or (1 << bits if bits <= 8 else 0)
    if start > 14 + header + 4 * colours + 16:  # 16: the colour masks of BITFIELDS
        yield "BMP: bytes between header and pixels"
    if size < len(data):
        yield f"{len(data) - size} bytes after the end of the BMP"


def _pnm(data: bytes) -> Iterator[str]:
    fields, position = 1, 2
    wanted = 3 if data[1:2] in b"14" else 4  # magic, width, height[, maximum]
    values: list[int] = []
    while fields < wanted:
        while data[position : position + 1].isspace():
            position += 1
        if data[position : position + 1] == b"#":
            yield "PNM comment"
            position = data.index(b"\n", position)
            continue
        start = position
        while data[position : position + 1].isdigit():
            position += 1
        values.append(int(data[start:position]))
        fields += 1
    if data[1:2] in b"123":
        if b"#" in data[position:]:
            yield "PNM comment"
        return
    width, height = values[:2]
    channels = 3 if data[1:2] == b"6" else 1
    row = (width + 7) // 8 if data[1:2] == b"4" else width * channels * (2 if values[-1] > 255 else 1)
    end = position + 1 + row * height
    if end < len(data):
        yield f"{len(data) - end} bytes after the end of the PNM"


_READERS = (
    (b"\xff\xd8", _jpeg),
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"RIFF", _webp),
    (b"II", _tiff),
    (b"MM", _tiff),
    (b"BM", _bmp),
    *((b"P%d" % kind, _pnm) for kind in range(1, 7)),
)
