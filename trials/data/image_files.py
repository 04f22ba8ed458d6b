"""Image files: read one image file safely, as square uint8 pixels.

An image is squared by cropping its longer side about the centre and resizing what is left, so shapes
are never distorted. Transparency is laid on white, or on black where white would hide all there is; 16-bit
levels become 8 bits by what is white among them (``trials/data/white.py``), CMYK and palettes become RGB, and a
photograph is turned upright as its EXIF orientation says. Of a file that holds several pictures only the first is read.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import PIL
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError, features

from convscout.search_space.errors import DataError
from convscout.trials.data.splits import Pixels
from convscout.trials.data.white import FEW, FULL, LevelArray, read_deep, spread_few

NETWORK_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")  # decoders that may see bytes which a stranger sent
HAS_AVIF, HAS_HEIF = features.check("avif"), find_spec("pillow_heif") is not None
FORMATS = (
    *NETWORK_FORMATS,
    "GIF",
    "TIFF",
    *(("AVIF",) if HAS_AVIF else ()),
    *(("HEIF",) if HAS_HEIF else ()),
)
NETWORK_SUFFIXES = frozenset({".bmp", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".webp"})
_HEIF_SUFFIXES = frozenset({".heic", ".heif"})
SUFFIXES = (
    NETWORK_SUFFIXES
    | {".gif", ".tif", ".tiff"}
    | ({".avif"} if HAS_AVIF else frozenset())
    | (_HEIF_SUFFIXES if HAS_HEIF else frozenset())
)
UNSUPPORTED_SUFFIXES = (
    frozenset(
        {
            ".avif",
            ".dcm",
            ".dds",
            ".exr",
            ".ico",
            ".j2k",
            ".jp2",
            ".jpx",
            ".jxl",
            ".pbm",
            ".pcx",
            ".pgm",
            ".pnm",
        }
    )
    | frozenset({".ppm", ".psd", ".svg", ".tga"})
    | frozenset({".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".rw2"})  # of cameras
    | _HEIF_SUFFIXES
) - SUFFIXES
NUM_MAGIC_BYTES = 16  # of a file, which say what it is
MAX_PIXELS = 100_000_000  # a larger one is more likely a decompression bomb than a photograph
MAX_BYTES = 150_000_000  # of the pixels that are decoded at once
DECODER_VERSION = f"2/{PIL.__version__}"  # raise the first number when the pixels made here change
_GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N"})
_MAGIC = {
    b"\xff\xd8\xff": ".jpg",
    b"\x89PNG\r\n\x1a\n": ".png",
    b"GIF87a": ".gif",
    b"GIF89a": ".gif",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
    b"II+\0": ".tif",  # of more than 4 GB, or written as if it were
    b"MM\0+": ".tif",
    b"\0\0\0\x0cjP  ": ".jp2",
    b"\0\0\0\x0cJXL ": ".jxl",
}
_LFS_POINTER = b"version https://git-lfs"
_MOST_MAGIC_BYTES = 32
_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), ".avif"),
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"mif1", b"msf1"), ".heic"),
}
_ALBUMS = frozenset({"AVIF", "GIF", "PNG", "TIFF", "WEBP"})  # formats in which further pictures are others
_BLANK = 8  # levels, which nobody sees between the darkest and the lightest
_DEEP_MODES = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N"})
# Pillow keeps one byte of each 16-bit level of a colour, and which it is goes by the raw mode that it reads in
_LOW_BYTES = {"16B": "16L", "16L": "16B", "16N": "16B" if sys.byteorder == "little" else "16L"}


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a file says of its image before the pixels are read.

    ``side`` and ``length`` are its shorter and its longer one, in pixels. ``deep`` says that it has 16 bits a level,
    ``transparent`` that it may be seen through, ``several`` that the file holds more pictures than the first.
    """

    side: int
    length: int
    grey: bool
    deep: bool
    transparent: bool
    several: bool


def suffix_of(beginning: bytes) -> str:
    """The suffix that a file with this ``beginning`` should have; empty where that is of no image."""
    if beginning[4:8] == b"ftyp":
        return _BRANDS.get(beginning[8:12], "")
    if beginning.startswith(b"RIFF") and beginning[8:12] == b"WEBP":
        return ".webp"
    if beginning.startswith(b"BM") and beginning[6:10] == bytes(4):
        return ".bmp"
    return next((suffix for magic, suffix in _MAGIC.items() if beginning.startswith(magic)), "")


def kind_of(path: os.PathLike[str]) -> str:
    """The suffix that the image file at ``path`` has, or by its content should have; empty for what is no image."""
    suffix = suffix_in(os.path.basename(path))  # noqa: PTH119 (a Path for each of many thousand files would be slow)
    if suffix in SUFFIXES or suffix in UNSUPPORTED_SUFFIXES:
        return suffix
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 (as above); opening a pipe could wait for ever
            return ""
        with Path(path).open("rb") as file:
            return suffix_of(file.read(NUM_MAGIC_BYTES))
    except OSError:
        return ""


def suffix_in(name: str) -> str:
    """The suffix of a file's ``name`` in small letters, with its dot; empty where there is none."""
    before, dot, suffix = name.rpartition(".")
    return f".{suffix.lower()}" if dot and before else ""


def problem_of(suffix: str) -> str:
    """Why an image file with this ``suffix`` cannot be read, and what to do; empty where it can."""
    if suffix in SUFFIXES:
        return ""
    other = ', or install the extra that reads it: pip install "convscout[heic]"'
    return f"is a {suffix} file; convert it to PNG{other if suffix in _HEIF_SUFFIXES else ''}"


def read_header(path: Path) -> Header:
    """The header of the image at ``path``. Raises ``DataError`` with the reason, without the path."""
    with _open(path, FORMATS) as image:
        if not _is_reducible(image):
            _check_bytes(image)
        return Header(
            side=min(image.size),
            length=max(image.size),
            grey=image.mode in _GREY_MODES or _is_deep_grey(image),
            deep=_is_deep(image),
            transparent=image.has_transparency_data,
            several=image.format in _ALBUMS and bool(getattr(image, "is_animated", False)),
        )


def read_pixels(
    file: Path | BinaryIO,
    size: int,
    channels: int,
    formats: tuple[str, ...] = FORMATS,
    *,
    white: int = FULL,
) -> Pixels:
    """The image in ``file`` as (size, size, channels) uint8; ``channels`` is 1 (grey) or 3 (RGB).

    ``white`` is the level that is white in the images that a network learns from. Raises ``DataError`` with the reason,
    without the path.
    """
    with _open(file, formats) as image:
        image.draft(None, (size, size))  # lets a large JPEG be decoded at a fraction of its size
        _check_bytes(image)
        deep = _is_deep(image)
        needs_low_bytes = deep and white < FULL and image.mode not in _DEEP_MODES
        picture = _with_white(image, file, formats, white) if needs_low_bytes else image
        ImageOps.exif_transpose(picture, in_place=True)
        return _pixels(picture, size, channels, white, deep=deep)


def convert_image(image: Image.Image, size: int, channels: int, *, white: int = FULL) -> Pixels:
    """``image``, which stays as it is, as ``read_pixels`` has one of a file. Raises ``DataError`` with the reason."""
    with _named_faults():
        _check_area(image)
        deep = _is_deep(image)
        if deep and white < FULL and image.mode not in _DEEP_MODES:
            raise DataError("has colours of 16 bits, of which Pillow keeps 8; give the path of its file")
        return _pixels(ImageOps.exif_transpose(image), size, channels, white, deep=deep)


def read_top_level(path: Path) -> int:
    """The highest of the 16-bit levels of the image at ``path``. Raises ``DataError``."""
    with _open(path, FORMATS) as image:
        _check_bytes(image)
        if image.mode in _DEEP_MODES:
            return int(np.asarray(image).max())
        return int(_read_colours(image, path, FORMATS).max())


def hides_on_white(path: Path) -> bool:
    """Whether the image at ``path`` would be blank if its transparency were laid on white. Raises ``DataError``."""
    with _open(path, FORMATS) as image:
        _check_bytes(image)
        return _lies_on(image.convert("RGBA")) == "black"


def square(images: Pixels, size: int) -> Pixels:
    """(N, H, W, C) images of 1 or 3 channels as (N, size, size, C); themselves if they are that already."""
    count, height, width, channels = images.shape
    if height == width == size:
        return images
    result = np.empty((count, size, size, channels), dtype=np.uint8)
    for index, pixels in enumerate(images):
        image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
        result[index] = np.asarray(_fit(image, size)).reshape(size, size, channels)  # (H, W, C)
    return result


def _pixels(image: Image.Image, size: int, channels: int, white: int, *, deep: bool) -> Pixels:
    flat = _convert(image, "L" if channels == 1 else "RGB", white)
    if white <= FEW and not deep:
        flat = Image.fromarray(spread_few(np.asarray(flat), white))
    return np.asarray(_fit(flat, size)).reshape(size, size, channels)  # (H, W, C)


def _read_colours(image: Image.Image, file: Path | BinaryIO, formats: tuple[str, ...]) -> LevelArray:
    """All 16 bits of the levels (H, W, 3) of ``image``, which ``file`` holds."""
    high = np.asarray(image)[..., :3].astype(np.uint16)
    with _open(file, formats) as again:
        low = _read_low_bytes(again)
    return high << 8 | low


def _read_low_bytes(image: ImageFile.ImageFile) -> Pixels:
    """The lower bytes (H, W, 3 or 1) of the 16-bit levels of an ``image`` that is not read yet."""
    grey = _is_deep_grey(image)
    image.tile = [tile._replace(args=_low_args(tile)) for tile in image.tile]
    return np.asarray(image)[..., 1:2] if grey else np.asarray(image)[..., :3]


def _low_args(tile: ImageFile._Tile) -> str | tuple[Any, ...]:
    """How Pillow reads the lower bytes of ``tile``.

    It knows none of grey with transparency; read as RGBA, the second byte is the lower one of grey.
    """
    mode, further = _raw_mode(tile), tile.args[1:] if isinstance(tile.args, tuple) else ()
    mode = "RGBA" if mode.startswith("LA;") else mode[:-3] + _LOW_BYTES[mode[-3:]]
    return (mode, *further) if further else mode


def _is_deep_grey(image: ImageFile.ImageFile) -> bool:
    """Whether ``image``, which is not read yet, is of 16 bits and grey, with an opacity: Pillow makes RGBA of it."""
    return any(_raw_mode(tile).startswith("LA;") for tile in image.tile)


def _raw_mode(tile: ImageFile._Tile) -> str:
    return str(tile.args[0] if isinstance(tile.args, tuple) and tile.args else tile.args)


def _with_white(
    image: Image.Image, file: Path | BinaryIO, formats: tuple[str, ...], white: int
) -> Image.Image:
    """``image``, whose colours have 16 bits in ``file``, in 8 bits by ``white``; as transparent, and as it lies."""
    result = Image.fromarray(read_deep(_read_colours(image, file, formats), white))
    if image.has_transparency_data:
        result.putalpha(image.convert("RGBA").getchannel("A"))
    result.getexif()[ExifTags.Base.Orientation] = image.getexif().get(ExifTags.Base.Orientation, 1)
    return result


@contextmanager
def _open(file: Path | BinaryIO, formats: tuple[str, ...]) -> Iterator[ImageFile.ImageFile]:
    with _named_faults():
        if "HEIF" in formats:
            import_module("pillow_heif").register_heif_opener()  # an optional extra
        try:
            opened = Image.open(file, formats=formats)
        except UnidentifiedImageError:
            raise DataError(_why_not(file, formats)) from None
        with opened as image:
            _check_area(image)
            yield image


def _why_not(file: Path | BinaryIO, formats: tuple[str, ...]) -> str:
    """Why a file holds no image in one of ``formats``, whatever its name says."""
    beginning = _beginning(file)
    if not beginning:
        return "is empty (0 bytes)"
    if beginning.startswith(_LFS_POINTER):
        return "is a pointer of Git LFS instead of an image; fetch the images: git lfs pull"
    suffix = suffix_of(beginning)
    known = problem_of(suffix) if suffix and formats == FORMATS else ""  # where its remedy helps
    return known or f"is not {name_formats(formats)} image"


def _beginning(file: Path | BinaryIO) -> bytes:
    if isinstance(file, Path):
        with file.open("rb") as opened:
            return opened.read(_MOST_MAGIC_BYTES)
    file.seek(0)
    return file.read(_MOST_MAGIC_BYTES)


def _check_area(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise DataError(f"is {width}x{height} pixels, more than {MAX_PIXELS / 1e6:g} megapixels")


@contextmanager
def _named_faults() -> Iterator[None]:
    """Within, whatever Pillow raises becomes a ``DataError``."""
    try:
        yield
    except DataError:
        raise
    except Image.DecompressionBombError:
        raise DataError(f"has more than {MAX_PIXELS / 1e6:g} megapixels") from None
    except Exception as error:  # Pillow's decoders raise anything on a damaged file; here it gets its name
        raise DataError(f"cannot be decoded: {error or type(error).__name__}") from error


def name_formats(formats: tuple[str, ...] = FORMATS) -> str:
    """``formats`` for a person, after an article."""
    names = [{"WEBP": "WebP", "HEIF": "HEIC"}.get(name, name) for name in formats]
    return f"a {', '.join(names[:-1])} or {names[-1]}"


def _is_deep(image: Image.Image) -> bool:
    """Whether a level has 16 bits, before the pixels are read."""
    raw_modes = map(_raw_mode, getattr(image, "tile", ()))
    return image.mode in _DEEP_MODES or any(mode.endswith(tuple(_LOW_BYTES)) for mode in raw_modes)


def _is_reducible(image: Image.Image) -> bool:
    """Whether only a part of the pixels need be decoded; a progressive JPEG is held whole meanwhile."""
    return image.format in ("JPEG", "MPO") and not image.info.get("progressive")


def _check_bytes(image: Image.Image) -> None:
    """Raise ``DataError`` where decoding ``image`` as it stands takes too much memory."""
    num_bytes = image.width * image.height * max(len(image.getbands()), 3)
    if num_bytes > MAX_BYTES:
        raise DataError(
            f"is {image.width}x{image.height} pixels, which take {num_bytes / 1e6:.0f} MB, "
            f"more than {MAX_BYTES / 1e6:.0f} MB; save it smaller"
        )


def _convert(image: Image.Image, mode: str, white: int) -> Image.Image:
    if image.mode == "F":
        raise DataError("has levels that are no whole numbers; convert it to 8 or 16 bits")
    if image.mode in _DEEP_MODES:
        image = Image.fromarray(read_deep(np.asarray(image), white))  # Pillow would clip at 255 instead
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, _lies_on(image)), image)
    return image if image.mode == mode else image.convert(mode)  # which would copy it


def _lies_on(image: Image.Image) -> str:
    """The colour to lay an RGBA ``image`` on: white, or black where nothing would be seen on white but on black."""
    for colour in ("white", "black"):
        flat = Image.alpha_composite(Image.new("RGBA", image.size, colour), image)
        if any(np.ptp(np.asarray(flat.getchannel(channel))) > _BLANK for channel in "RGB"):
            return colour
    return "white"


def _fit(image: Image.Image, size: int) -> Image.Image:
    if image.size == (size, size):
        return image
    return ImageOps.fit(image, (size, size), method=Image.Resampling.BICUBIC)
