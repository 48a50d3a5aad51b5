import io
import struct

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from audit.metadata import inspect_metadata
from cfanet.images import Picture, encode

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 31, 3), dtype=np.uint8)
IMAGE = Image.fromarray(PIXELS)


def _saved(kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    IMAGE.save(buffer, kind, **options)
    return buffer.getvalue()


def _exif() -> bytes:
    exif = Image.Exif()
    exif[0x010F] = "a maker"
    return exif.tobytes()


def _png_text() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", "Ada")
    return info


def _with_segment(marker: int, body: bytes) -> bytes:
    data = _saved("JPEG")
    return data[:2] + bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body + data[2:]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM"])
def test_what_the_release_writes_is_clean(kind: str) -> None:
    for quality in (75, 95, 100):
        assert inspect_metadata(encode(Picture(PIXELS, kind), quality)) == ()


@pytest.mark.parametrize(
    ("data", "finding"),
    [
        (_saved("JPEG", exif=_exif()), "JPEG EXIF"),
        (_saved("JPEG", icc_profile=b"a profile"), "JPEG ICC profile"),
        (_saved("JPEG", comment=b"Ada"), "JPEG comment"),
        (_saved("JPEG", progressive=True, exif=_exif()), "JPEG EXIF"),
        (_with_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>"), "JPEG XMP"),
        (_with_segment(0xED, b"Photoshop 3.0\0008BIM"), "JPEG APP13 (Photoshop, IPTC)"),
        (_with_segment(0xE2, b"MPF\0II"), "JPEG multi-picture index"),
        (_with_segment(0xEB, b"anything"), "JPEG APP11"),
        (_with_segment(0xE0, b"JFXX\0\x10"), "JPEG APP0: JFXX thumbnail"),
        (_with_segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\1\1rgb"), "JPEG APP0: JFIF thumbnail"),
        (_saved("JPEG") + _saved("JPEG"), "bytes after the end of the JPEG"),
        (_saved("PNG", pnginfo=_png_text()), "PNG text"),
        (_saved("PNG", exif=_exif()), "PNG EXIF"),
        (_saved("PNG", icc_profile=b"a profile"), "PNG ICC profile"),
        (_saved("PNG") + b"more", "4 bytes after the end of the PNG"),
        (_saved("WEBP", exif=_exif()), "WebP EXIF"),
        (_saved("WEBP", xmp=b"<x/>"), "WebP XMP"),
        (_saved("WEBP", icc_profile=b"a profile"), "WebP ICC profile"),
        (_saved("WEBP") + b"more", "bytes after the end of the WebP"),
        (_saved("TIFF", description="Ada"), "TIFF description"),
        (_saved("TIFF", icc_profile=b"a profile"), "TIFF ICC profile"),
        (_saved("TIFF", save_all=True, append_images=[IMAGE]), "TIFF: more than one picture"),
        (_saved("BMP") + b"more", "4 bytes after the end of the BMP"),
        (b"P6\n# Ada\n2 1\n255\n" + bytes(6), "PNM comment"),
        (b"P6\n2 1\n255\n" + bytes(9), "3 bytes after the end of the PNM"),
        (b"GIF89a", "unknown container"),
        (b"", "unknown container"),
        (_saved("JPEG")[:200], "broken container"),
        (_saved("PNG")[:-20], "broken container"),
        (_saved("WEBP")[:-20], "broken container"),
        (b"P6\n2", "broken container"),
    ],
)
def test_everything_else_is_found(data: bytes, finding: str) -> None:
    found = inspect_metadata(data)
    assert any(finding in one for one in found), found


def test_findings_never_repeat_the_content() -> None:
    for data in (_saved("JPEG", comment=b"Ada"), _saved("PNG", pnginfo=_png_text()), _saved("TIFF", description="Ada")):
        assert inspect_metadata(data)
        assert "Ada" not in "".join(inspect_metadata(data))


def test_no_bytes_make_it_fail() -> None:
    rng = np.random.default_rng(5)
    whole = [_saved(kind) for kind in ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM")]
    assert len(whole) == 6
    for data in whole:
        for _ in range(200):
            broken = bytearray(data[: int(rng.integers(2, len(data)))])
            for position in rng.integers(0, len(broken), 4):
                broken[position] = int(rng.integers(0, 256))
            assert isinstance(inspect_metadata(bytes(broken)), tuple)
