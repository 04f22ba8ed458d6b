"""Image files: read one PNG, JPEG, WebP or BMP file safely, as square uint8 pixels.

An image is squared by cropping its longer side about the centre and resizing what is left, so shapes
are never distorted. Transparency is laid on white, 16-bit levels keep their high byte, CMYK and
palettes become RGB, and a photograph is turned upright as its EXIF orientation says. Of an animation
only the first frame is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL
from PIL import Image, ImageOps, UnidentifiedImageError

from search_space.errors import DataError
from trials.splits import Pixels

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
UNSUPPORTED_SUFFIXES = frozenset(
    {".avif", ".gif", ".heic", ".ico", ".jp2", ".pgm", ".ppm", ".svg", ".tga", ".tif", ".tiff"}
)
MAX_PIXELS = 25_000_000  # a larger one is more likely a decompression bomb than a training image
DECODER_VERSION = f"1/{PIL.__version__}"  # raise the first number when the pixels made here change
_GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N"})
_DEEP_MODES = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N"})


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a file says of its image before the pixels are read. ``side`` is the shorter one, in pixels."""

    side: int
    grey: bool


def read_header(path: Path) -> Header:
    """The header of the image at ``path``. Raises ``DataError`` with the reason, without the path."""
    with _opened(path) as image:
        return Header(side=min(image.size), grey=image.mode in _GREY_MODES)


def read_pixels(path: Path, size: int, channels: int) -> Pixels:
    """The image at ``path`` as (size, size, channels) uint8; ``channels`` is 1 (grey) or 3 (RGB).

    Raises ``DataError`` with the reason, without the path.
    """
    with _opened(path) as image:
        image.draft(None, (size, size))  # lets a large JPEG be decoded at a fraction of its size
        ImageOps.exif_transpose(image, in_place=True)
        flat = _converted(image, "L" if channels == 1 else "RGB")
        return np.asarray(_fitted(flat, size)).reshape(size, size, channels)  # (H, W, C)


def squared(images: Pixels, size: int) -> Pixels:
    """(N, H, W, C) images of 1 or 3 channels as (N, size, size, C); themselves if they are that already."""
    count, height, width, channels = images.shape
    if height == width == size:
        return images
    result = np.empty((count, size, size, channels), dtype=np.uint8)
    for index, pixels in enumerate(images):
        image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
        result[index] = np.asarray(_fitted(image, size)).reshape(size, size, channels)  # (H, W, C)
    return result


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path, formats=FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise DataError(f"is {width}x{height} pixels, more than {MAX_PIXELS / 1e6:g} megapixels")
            yield image
    except DataError:
        raise
    except UnidentifiedImageError:
        empty = path.stat().st_size == 0
        reason = "is empty (0 bytes)" if empty else "is not a PNG, JPEG, WebP or BMP image"
        raise DataError(reason) from None
    except Image.DecompressionBombError:
        raise DataError(f"has more than {MAX_PIXELS / 1e6:g} megapixels") from None
    except Exception as error:  # Pillow's decoders raise anything on a damaged file; here it gets its name
        raise DataError(f"cannot be decoded: {error or type(error).__name__}") from error


def _converted(image: Image.Image, mode: str) -> Image.Image:
    if image.mode in _DEEP_MODES:
        levels = np.asarray(image).astype(np.int64) >> 8  # Pillow would clip at 255 instead
        image = Image.fromarray(levels.clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == mode else image.convert(mode)  # which would copy it


def _fitted(image: Image.Image, size: int) -> Image.Image:
    if image.size == (size, size):
        return image
    return ImageOps.fit(image, (size, size), method=Image.Resampling.BICUBIC)
