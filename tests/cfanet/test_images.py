"""Decoding: every kind of file becomes the same upright sRGB pixels or a named refusal. Encoding: pixels only."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from cfanet.errors import PictureError
from cfanet.images import FORMATS, IMAGE_EXTENSIONS, Picture, decode, encode

LIMIT = 64.0
LOSSLESS = ("PNG", "BMP", "TIFF", "PPM")


def scene(width: int = 40, height: int = 24) -> np.ndarray:
    """(H, W, 3) uint8, smooth (so that JPEG keeps it) and different in all four corners."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 / width, y * 255 / height, (x + y) * 255 / (width + height)], axis=-1).astype(np.uint8)


def saved(image: Image.Image, format_name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=format_name, **options)
    return buffer.getvalue()


def reason_of(data: bytes, limit: float = LIMIT) -> str:
    with pytest.raises(PictureError) as caught:
        decode(data, limit)
    assert caught.value.detail
    return caught.value.reason


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_round_trips(name: str) -> None:
    picture = Picture(scene(), name)
    first = encode(picture, 95)
    again = decode(first, LIMIT)
    assert again.format == name
    assert again.pixels.shape == (24, 40, 3) and again.pixels.dtype == np.uint8
    assert encode(picture, 95) == first, "the same pixels must give the same bytes"
    difference = np.abs(again.pixels.astype(int) - scene())
    assert difference.max() == 0 if name in LOSSLESS else difference.mean() < 3


def test_webp_at_100_is_lossless_and_jpeg_keeps_colour_resolution_at_95() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    assert np.array_equal(decode(encode(Picture(noise, "WEBP"), 100), LIMIT).pixels, noise)
    assert Image.open(io.BytesIO(encode(Picture(noise, "JPEG"), 95))).layer[0][1:3] == (1, 1)  # type: ignore[attr-defined]
    assert Image.open(io.BytesIO(encode(Picture(noise, "JPEG"), 80))).layer[0][1:3] == (2, 2)  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (300, 1)])
@pytest.mark.parametrize("name", FORMATS)
def test_tiny_pictures_round_trip(name: str, size: tuple[int, int]) -> None:
    assert decode(encode(Picture(scene(*size), name), 95), LIMIT).pixels.shape == (size[1], size[0], 3)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_is_applied_once_and_dropped(name: str, orientation: int) -> None:
    undo = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }
    stored = Image.fromarray(np.ascontiguousarray(undo[orientation](scene())))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 100} if name in ("JPEG", "WEBP") else {}
    picture = decode(saved(stored, name, exif=exif, **options), LIMIT)
    assert picture.pixels.shape == scene().shape
    assert np.abs(picture.pixels.astype(int) - scene()).mean() < 3
    assert not Image.open(io.BytesIO(encode(picture, 95))).getexif().get(0x0112)


def test_grey_one_bit_and_palette_become_rgb() -> None:
    grey = Image.fromarray(scene()[..., 0])
    for image in (grey, grey.convert("1"), Image.fromarray(scene()).quantize(32)):
        picture = decode(saved(image, "PNG"), LIMIT)
        assert picture.pixels.shape == (24, 40, 3)
        assert np.array_equal(picture.pixels, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("name", ["PNG", "WEBP", "TIFF"])
def test_colours_hidden_under_transparency_do_not_survive(name: str) -> None:
    rgba = np.dstack([scene(), np.full((24, 40), 255, np.uint8)])
    rgba[:, :20, 3] = 0
    options = {"lossless": True, "exact": True} if name == "WEBP" else {}
    data = saved(Image.fromarray(rgba), name, **options)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data)))[:, :20, :3], scene()[:, :20]), "they are in the file"
    pixels = decode(data, LIMIT).pixels
    assert np.all(pixels[:, :20] == 255) and np.array_equal(pixels[:, 20:], scene()[:, 20:])


def test_grey_with_alpha_and_transparent_palette_are_flattened_onto_white() -> None:
    grey_alpha = Image.fromarray(np.dstack([scene()[..., 0], np.zeros((24, 40), np.uint8)]), mode=None)
    assert grey_alpha.mode == "LA"
    assert np.all(decode(saved(grey_alpha, "PNG"), LIMIT).pixels == 255)
    palette = Image.fromarray(np.zeros((4, 4), np.uint8)).convert("P")
    assert np.all(decode(saved(palette, "PNG", transparency=0), LIMIT).pixels == 255)


def test_cmyk_jpeg_shows_the_right_colours() -> None:
    cmyk = Image.fromarray(scene()).convert("CMYK")
    data = saved(cmyk, "JPEG", quality=95)
    assert b"Adobe" in data, "Pillow writes the inverted Adobe kind"
    assert np.abs(decode(data, LIMIT).pixels.astype(int) - scene()).mean() < 4


@pytest.mark.parametrize("name", ["PNG", "TIFF", "PPM"])
def test_sixteen_bit_grey_is_scaled_not_clipped(name: str) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None, :].repeat(4, axis=0)
    image = Image.frombytes("I;16", (256, 4), ramp.tobytes())
    data = saved(image.convert("I") if name == "PPM" else image, name)
    pixels = decode(data, LIMIT).pixels
    assert np.array_equal(pixels[0, :, 0], np.arange(256))
    assert np.array_equal(pixels[..., 0], pixels[..., 2])


def test_sixteen_bit_rgb_png_is_scaled() -> None:
    values = (scene().astype(">u2") * 257).tobytes()
    rows = b"".join(b"\0" + values[row * 240 : (row + 1) * 240] for row in range(24))
    header = struct.pack(">IIBBBBB", 40, 24, 16, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    )
    assert np.array_equal(decode(data, LIMIT).pixels, scene())


def test_white_is_zero_tiff_is_not_a_negative() -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None, :].repeat(4, axis=0)
    data = bytearray(saved(Image.frombytes("I;16", (256, 4), ramp.tobytes()), "TIFF"))
    entry = data.index(struct.pack("<HHIHH", 262, 3, 1, 1, 0))  # PhotometricInterpretation = 1, black is zero
    data[entry + 8] = 0
    assert np.array_equal(decode(bytes(data), LIMIT).pixels[0, :, 0], 255 - np.arange(256))


def test_pixels_without_a_known_range_are_refused() -> None:
    floats = Image.fromarray(np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4))
    assert reason_of(saved(floats, "TIFF")) == "unsupported_format"


def test_an_embedded_profile_is_converted_and_dropped() -> None:
    swapped = _profile_with_red_and_blue_swapped()
    data = saved(Image.fromarray(scene()), "PNG", icc_profile=swapped)
    picture = decode(data, LIMIT)
    # 10 of 255: two matrix profiles through 8 bits.
    assert np.abs(picture.pixels.astype(int) - scene()[..., ::-1]).max() <= 10
    assert "icc_profile" not in Image.open(io.BytesIO(encode(picture, 95))).info


def test_a_broken_or_srgb_profile_leaves_the_pixels_alone() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (b"not a profile", srgb):
        data = saved(Image.fromarray(scene()), "PNG", icc_profile=profile)
        assert np.array_equal(decode(data, LIMIT).pixels, scene())


def _profile_with_red_and_blue_swapped() -> bytes:
    """An sRGB profile whose red and blue primaries are exchanged, so that its effect is unmistakable."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack(">I", profile[128:132])[0]
    at = {bytes(profile[o : o + 4]): o + 4 for o in range(132, 132 + 12 * count, 12)}
    red, blue = at[b"rXYZ"], at[b"bXYZ"]
    profile[red : red + 8], profile[blue : blue + 8] = profile[blue : blue + 8], profile[red : red + 8]
    for tag in (b"desc", b"dmnd", b"dmdd"):  # another name, so that it is not taken for sRGB
        if tag in at:
            offset, size = struct.unpack(">II", profile[at[tag] : at[tag] + 8])
            body = (
                bytes(profile[offset : offset + size]).replace(b"s\0R\0G\0B", b"x\0R\0G\0B").replace(b"sRGB", b"xRGB")
            )
            profile[offset : offset + size] = body
    return bytes(profile)


@pytest.mark.parametrize("name", FORMATS)
def test_no_metadata_survives(name: str) -> None:
    secret = b"Jane Doe was here"
    exif = Image.Exif()
    exif[0x010E] = secret.decode()
    exif[0x0131] = "Camera"
    image = Image.fromarray(scene())
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", secret.decode())
    options: dict[str, dict[str, object]] = {
        "JPEG": {"exif": exif, "comment": secret, "xmp": b"<x>" + secret + b"</x>", "dpi": (300, 300)},
        "PNG": {"exif": exif, "pnginfo": text},
        "WEBP": {"exif": exif, "xmp": secret},
        "TIFF": {"exif": exif, "tiffinfo": {270: secret.decode()}},
    }
    data = saved(image, name, **options.get(name, {})) + secret  # and a tail behind the picture's own end
    assert secret in data
    picture = decode(data, LIMIT)
    written = encode(picture, 95)
    assert secret not in written
    info = Image.open(io.BytesIO(written)).info
    kept = set(info) - {"jfif", "jfif_version", "jfif_unit", "jfif_density", "compression", "dpi", "resolution"}
    assert kept <= {"loop", "background", "timestamp", "duration"}, info
    assert written == encode(Picture(picture.pixels, name), 95)


def test_progressive_jpeg_decodes() -> None:
    data = saved(Image.fromarray(scene()), "JPEG", progressive=True, quality=95)
    assert Image.open(io.BytesIO(data)).info.get("progressive")
    assert np.abs(decode(data, LIMIT).pixels.astype(int) - scene()).mean() < 3


def test_mpo_becomes_the_jpeg_of_its_first_picture() -> None:
    second = Image.new("RGB", (40, 24), "red")
    data = saved(Image.fromarray(scene()), "MPO", save_all=True, append_images=[second], quality=95)
    assert Image.open(io.BytesIO(data)).format == "MPO"
    picture = decode(data, LIMIT)
    assert picture.format == "JPEG"
    assert np.abs(picture.pixels.astype(int) - scene()).mean() < 3


@pytest.mark.parametrize("name", ["GIF", "WEBP", "PNG", "TIFF"])
def test_sequences_are_refused(name: str) -> None:
    frames = [Image.fromarray(scene()), Image.fromarray(scene()[::-1].copy())]
    data = saved(frames[0], name, save_all=True, append_images=frames[1:])
    assert reason_of(data) == "animated"


@pytest.mark.parametrize("name", ["GIF", "AVIF", "ICO"])
def test_formats_that_cannot_be_written_back_are_refused_by_name(name: str) -> None:
    data = saved(Image.fromarray(scene(48, 48)), name)
    assert reason_of(data) == "unsupported_format"
    assert name.lower() in IMAGE_EXTENSIONS, "such a file must be seen as a picture, or it would be copied"


def test_empty_and_garbage() -> None:
    assert reason_of(b"") == "empty"
    assert reason_of(b"\0") == "undecodable"
    assert reason_of(b"this is no picture" * 100) == "undecodable"
    assert reason_of(b"\x89PNG\r\n\x1a\n" + b"\xff" * 200) == "undecodable"


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about the cut
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_truncated_files_never_decode(name: str, part: float) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encode(Picture(noise, name), 95)
    assert decode(data, LIMIT).pixels.shape == noise.shape
    assert reason_of(data[: int(len(data) * part)]) in {"truncated", "undecodable"}


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "BMP"])
def test_half_a_file_is_called_truncated(name: str) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encode(Picture(noise, name), 95)
    assert reason_of(data[: len(data) // 2]) == "truncated"


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_size_is_judged_from_the_header() -> None:
    # A BMP header that announces 10,000 x 10,000 pixels, and no pixels at all: nothing was decoded to refuse it.
    header = struct.pack("<2sIHHI", b"BM", 54, 0, 0, 54) + struct.pack(
        "<IiiHHIIiiII", 40, 10_000, 10_000, 1, 24, *[0] * 6
    )
    assert reason_of(header) == "too_large"
    huge = struct.pack("<2sIHHI", b"BM", 54, 0, 0, 54) + struct.pack(
        "<IiiHHIIiiII", 40, 60_000, 60_000, 1, 24, *[0] * 6
    )
    assert reason_of(huge) == "too_large", "beyond Pillow's own limit too"
    exact = encode(Picture(scene(1000, 1000), "JPEG"), 95)
    assert decode(exact, 1.0).pixels.shape == (1000, 1000, 3)
    assert reason_of(exact, 0.99) == "too_large"


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about the damage
@pytest.mark.parametrize("name", FORMATS)
def test_damaged_bytes_raise_nothing_but_picture_errors(name: str) -> None:
    data = encode(Picture(scene(), name), 95)
    generator = np.random.default_rng(7)
    refused = 0
    for _ in range(150):
        damaged = bytearray(data)
        for at in generator.integers(0, len(data), 6):
            damaged[at] = generator.integers(0, 256)
        try:
            pixels = decode(bytes(damaged), LIMIT).pixels
            assert pixels.dtype == np.uint8 and pixels.ndim == 3
        except PictureError as error:
            assert error.reason in {"undecodable", "truncated", "too_large", "unsupported_format", "animated"}
            refused += 1
    assert refused, "the damage was never noticed: this test would prove nothing"


def test_pixels_are_the_callers_own() -> None:
    pixels = decode(encode(Picture(scene(), "PNG"), 95), LIMIT).pixels
    pixels[0, 0] = 7  # writable and contiguous, as torch wants it
    assert pixels.flags.c_contiguous


def test_an_unknown_format_cannot_be_written() -> None:
    with pytest.raises(PictureError, match="GIF"):
        encode(Picture(scene(), "GIF"), 95)
