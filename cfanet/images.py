"""Picture files: bytes to RGB pixels and back. Nothing but pixels and the name of the format survives the trip."""

import io
import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, ImageFile, UnidentifiedImageError

from cfanet.errors import PictureError
from cfanet.records import ImageArray

FORMATS: tuple[str, ...] = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM")
"""The formats a picture can have, read and written."""
REFUSED_EXTENSIONS: frozenset[str] = frozenset({"gif", "avif", "heic", "heif", "jp2", "j2k", "jxl", "ico", "psd"})
"""Files that show a picture but cannot be written back: recognised, so that they are withheld and never copied."""
IMAGE_EXTENSIONS: frozenset[str] = REFUSED_EXTENSIONS | frozenset(
    (
        "jpg",
        "jpeg",
        "jpe",
        "jfif",
        "mpo",
        "png",
        "apng",
        "webp",
        "bmp",
        "dib",
        "tif",
        "tiff",
        "ppm",
        "pgm",
        "pbm",
        "pnm",
    )
)
"""Every file name extension that announces a picture; lower-case, no dot."""

# First bytes of what is recognised only to be refused by name. (offset, bytes, name)
_REFUSED_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (4, b"ftyp", "AVIF or HEIF"),
    (0, b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (0, b"\x00\x00\x01\x00", "ICO"),
    (0, b"8BPS", "Photoshop"),
)
_ORIENTATION_TAG = 0x0112
# EXIF orientation -> the operation that shows the picture upright.
_UPRIGHT: dict[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_TIFF_BITS_PER_SAMPLE, _TIFF_PHOTOMETRIC = 258, 262
_CHROMA_FULL_FROM_QUALITY = 90  # JPEG quality from which colour keeps its full resolution (4:4:4)


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture: upright, sRGB, without metadata."""

    pixels: ImageArray  # (H, W, 3) uint8 RGB
    format: str  # one of FORMATS


def decode(data: bytes, max_megapixels: float) -> Picture:
    """Decode one picture file into upright sRGB pixels; transparency is flattened onto white.

    The size is read from the header and checked before any pixel is decoded. Sixteen-bit grey is scaled to eight.
    A multi-picture JPEG (MPO) becomes its first picture. Raises PictureError with reason `empty`, `undecodable`,
    `truncated`, `too_large`, `animated` or `unsupported_format`.
    """
    if not data:
        raise PictureError("empty", "the file has no bytes")
    image = _open(data)
    with image:
        name = "JPEG" if image.format == "MPO" else str(image.format)
        megapixels = image.width * image.height / 1e6
        if megapixels > max_megapixels:
            detail = f"{image.width}×{image.height} is {megapixels:.1f} megapixels; the limit is {max_megapixels:g}"
            raise PictureError("too_large", detail)
        _refuse_sequences(image)
        try:
            image.load()
            pixels = _to_rgb(_upright(image), image)
        except (PictureError, MemoryError):
            raise
        except Exception as error:  # a decoder may raise anything on hostile bytes: it becomes a reason
            raise _decoding_failed(error) from error
    return Picture(pixels, name)


def encode(picture: Picture, jpeg_quality: int) -> bytes:
    """Encode a picture in its own format; the bytes depend on (pixels, format, jpeg_quality) alone.

    PNG, TIFF (deflate), BMP and PPM are lossless. JPEG is baseline at `jpeg_quality`, with full-resolution colour
    (4:4:4) from 90 upwards and 4:2:0 below. WebP is lossy at the same quality and lossless at 100. No EXIF, XMP, ICC
    profile, thumbnail, comment or time stamp is written. Raises PictureError `unsupported_format`.
    """
    options: dict[str, object]
    match picture.format:
        case "JPEG":
            subsampling = 0 if jpeg_quality >= _CHROMA_FULL_FROM_QUALITY else 2
            options = {"quality": jpeg_quality, "subsampling": subsampling}
        case "PNG":
            options = {"compress_level": 6}
        case "WEBP":
            options = {"lossless": jpeg_quality >= 100, "quality": jpeg_quality, "method": 4}
        case "TIFF":
            options = {"compression": "tiff_adobe_deflate"}
        case "BMP" | "PPM":
            options = {}
        case other:
            raise PictureError("unsupported_format", f"pictures cannot be written as {other}: use {', '.join(FORMATS)}")
    buffer = io.BytesIO()
    # An image made from an array carries no info dictionary, so there is nothing for an encoder to copy.
    Image.fromarray(np.ascontiguousarray(picture.pixels)).save(buffer, format=picture.format, **options)
    return buffer.getvalue()


def _open(data: bytes) -> ImageFile.ImageFile:
    """Read the header only."""
    for offset, signature, name in _REFUSED_SIGNATURES:
        if data[offset : offset + len(signature)] == signature:
            raise PictureError("unsupported_format", f"{name} cannot be written back: convert it to PNG or JPEG")
    _check_webp_length(data)
    try:
        return Image.open(io.BytesIO(data), formats=[*FORMATS, "GIF"])
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureError("too_large", str(error)) from error
    except UnidentifiedImageError as error:
        raise PictureError("undecodable", f"{len(data)} bytes that are no picture in a known format") from error
    except Exception as error:  # a decoder may raise anything on hostile bytes: it becomes a reason
        raise _decoding_failed(error) from error


def _check_webp_length(data: bytes) -> None:
    # Pillow cannot tell a cut WebP from garbage; the RIFF header can.
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        announced = 8 + struct.unpack("<I", data[4:8])[0]
        if len(data) < announced:
            raise PictureError("truncated", f"{len(data)} bytes of the {announced} that the header announces")


def _refuse_sequences(image: ImageFile.ImageFile) -> None:
    if image.format == "MPO":
        return
    try:
        animated = bool(getattr(image, "is_animated", False))
    except Exception as error:  # counting frames parses the file further than its header
        raise _decoding_failed(error) from error
    if animated:
        raise PictureError("animated", f"{image.format} with several frames or pages: split it into single pictures")
    if image.format == "GIF":
        raise PictureError(
            "unsupported_format", "GIF holds 256 colours, too few for a replaced face: convert it to PNG or JPEG"
        )


def _decoding_failed(error: Exception) -> PictureError:
    message = str(error) or type(error).__name__
    if "truncated" in message.lower() or isinstance(error, EOFError):
        return PictureError("truncated", message)
    return PictureError("undecodable", message)


def _upright(image: ImageFile.ImageFile) -> Image.Image:
    # TIFF is turned upright by Pillow while it loads, and then has no orientation left.
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG)
    except (OSError, SyntaxError, ValueError, TypeError, LookupError, AssertionError, struct.error):
        # Unreadable EXIF says nothing about orientation, and is dropped with the rest.
        orientation = None
    operation = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return image.copy() if operation is None else image.transpose(operation)


def _to_rgb(image: Image.Image, source: ImageFile.ImageFile) -> ImageArray:
    """(H, W, 3) uint8 sRGB of a loaded picture of any mode."""
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_deep_grey(image, source))
    elif image.has_transparency_data:
        image = _flatten(image)
    elif image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("RGB")
    image = _to_srgb(image, source.info.get("icc_profile"))
    return np.array(image.convert("RGB"))


def _flatten(image: Image.Image) -> Image.Image:
    """Composite onto white, so that colours hidden under transparency are gone."""
    rgba = image.convert("RGBA")
    ground = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    return Image.alpha_composite(ground, rgba).convert("RGB")


def _deep_grey(image: Image.Image, source: ImageFile.ImageFile) -> npt.NDArray[np.uint8]:
    """(H, W) uint8 of a 16-bit grey picture; PictureError when its range is not known."""
    full = 65535
    tags = getattr(source, "tag_v2", {})
    if image.mode.startswith("I;16"):
        bits = tags.get(_TIFF_BITS_PER_SAMPLE, (16,))[0]
        full = (1 << bits) - 1
    elif not (image.mode == "I" and source.format == "PPM"):  # PPM's "I" is always scaled to 16 bits
        raise PictureError("unsupported_format", f"pixels of type {image.mode} have no known range: convert to 8 bits")
    values = np.asarray(image).astype(np.uint32)
    if tags.get(_TIFF_PHOTOMETRIC) == 0:  # white is zero: Pillow inverts 8-bit pictures, not 16-bit ones
        values = full - values
    return ((values * 255 + full // 2) // full).astype(np.uint8)


def _to_srgb(image: Image.Image, profile_bytes: object) -> Image.Image:
    """Convert from the embedded profile's colour space; a broken or unfitting profile is ignored."""
    if not isinstance(profile_bytes, bytes) or not profile_bytes:
        return image
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(profile_bytes))
        if ImageCms.getProfileDescription(profile).startswith(("sRGB IEC61966", "sRGB built-in")):
            return image
        srgb = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, profile, srgb, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image
    return image if converted is None else converted
