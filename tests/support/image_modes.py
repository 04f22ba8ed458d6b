"""Every kind of image file that is told from others: what it holds, and what a network should see of it."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from convscout.trials.data.white import FULL
from tests.support.deep_images import deep_png, deep_tiff

SIDE = 16
_JPEG: dict[str, Any] = {"quality": 100, "subsampling": 0}
_AVIF: dict[str, Any] = {"quality": 100, "subsampling": "4:4:4"}
_TURN = Image.Exif()
_TURN[0x0112] = 6  # orientation: to be turned by a quarter, clockwise
Levels = npt.NDArray[np.int64]

_Y, _X = np.mgrid[0:SIDE, 0:SIDE]
GREY: Levels = (
    16 * _X + _Y + 5 * (_Y > 9)
) % 256  # no turn or swap leaves it as it is, and it has no flat parts
COLOURS: Levels = np.stack([GREY, GREY.T, 255 - GREY // 2], axis=-1)
_CLEAR = (_X < 5) & (_Y > 7)  # where pictures with transparency are seen through


def _grey3(levels: Levels) -> Levels:
    return np.repeat(levels[..., np.newaxis], 3, axis=2)


def _on_white(colours: Levels) -> Levels:
    return np.where(_CLEAR[..., np.newaxis], 255, colours)


@dataclass(frozen=True)
class ImageMode:
    """A file called ``name`` of ``content``, of which a network with this ``white`` should see what it ``shows``.

    That is (SIDE, SIDE, 3), within ``tolerance``; None says that the file must be refused. ``network`` says that it may
    be decoded where a stranger may have sent it, ``browser`` that a browser reads it.
    """

    name: str
    content: bytes
    shows: Levels | None
    white: int = FULL
    tolerance: int = 0
    network: bool = True
    browser: bool = True


def _saved(image: Image.Image, suffix: str, **options: Any) -> bytes:
    image.save(file := io.BytesIO(), Image.registered_extensions()[f".{suffix}"], **options)
    return file.getvalue()


def _image(levels: Levels, mode: str = "") -> Image.Image:
    image = Image.fromarray(levels.astype(np.uint8))
    return image.convert(mode) if mode else image


def _with_opacity(levels: Levels) -> Image.Image:
    return _image(np.dstack([levels, np.where(_CLEAR, 0, 255)]))


def _turned(image: Image.Image) -> Image.Image:
    return image.transpose(Image.Transpose.ROTATE_90)


def _clear_palette() -> bytes:
    """Its last colour cannot be seen, and is where pictures are seen through."""
    return _saved(_image(np.where(_CLEAR, 255, GREY // 2), "P"), "png", transparency=255)


def _deep(levels: Levels, white: int = FULL) -> npt.NDArray[np.uint16]:
    return np.rint(levels * (white / 255)).astype(np.uint16)


def _deep_clear(levels: Levels, white: int = FULL) -> bytes:
    return deep_png(np.dstack([_deep(levels, white), np.where(_CLEAR, 0, 65535)]).astype(np.uint16))


def _white_ink() -> Image.Image:
    return _image(np.dstack([np.full_like(COLOURS, 255), GREY]))


def _whole(levels: npt.NDArray[Any], dtype: type[np.generic]) -> bytes:
    return _saved(Image.fromarray(levels.astype(dtype)), "tif")


_BITS = np.where(GREY > 127, 255, 0)
_FEW = _BITS // 255
_GREY, _COLOURS, _PALETTE = _image(GREY), _image(COLOURS), _image(COLOURS).quantize(256)
_CLEAR_GREY, _CLEAR_COLOURS = _with_opacity(GREY), _with_opacity(COLOURS)

MODES = (
    ImageMode("1-bit.png", _saved(_image(_BITS, "1"), "png"), _grey3(_BITS)),
    ImageMode("L.png", _saved(_GREY, "png"), _grey3(GREY)),
    ImageMode("L.jpg", _saved(_GREY, "jpg", **_JPEG), _grey3(GREY), tolerance=3),
    ImageMode("LA.png", _saved(_CLEAR_GREY, "png"), _on_white(_grey3(GREY))),
    ImageMode("P.png", _saved(_PALETTE, "png"), COLOURS),
    ImageMode("P-clear.png", _clear_palette(), _on_white(_grey3(GREY // 2))),
    ImageMode("P.gif", _saved(_PALETTE, "gif"), COLOURS, network=False),
    ImageMode("RGB.png", _saved(_COLOURS, "png"), COLOURS),
    ImageMode("RGB.jpg", _saved(_COLOURS, "jpg", **_JPEG), COLOURS, tolerance=6),
    ImageMode("progressive.jpg", _saved(_COLOURS, "jpg", progressive=True, **_JPEG), COLOURS, tolerance=6),
    ImageMode("turned.jpg", _saved(_turned(_COLOURS), "jpg", exif=_TURN, **_JPEG), COLOURS, tolerance=6),
    ImageMode("turned.png", _saved(_turned(_COLOURS), "png", exif=_TURN), COLOURS),
    ImageMode("RGB.webp", _saved(_COLOURS, "webp", lossless=True), COLOURS),
    ImageMode("RGB.bmp", _saved(_COLOURS, "bmp"), COLOURS),
    ImageMode("RGB.tif", _saved(_COLOURS, "tif"), COLOURS, network=False, browser=False),
    ImageMode("RGB.avif", _saved(_COLOURS, "avif", **_AVIF), COLOURS, tolerance=8, network=False),
    ImageMode("RGBA.png", _saved(_CLEAR_COLOURS, "png"), _on_white(COLOURS)),
    ImageMode("RGBA.webp", _saved(_CLEAR_COLOURS, "webp", lossless=True), _on_white(COLOURS)),
    ImageMode("white-ink.png", _saved(_white_ink(), "png"), _grey3(GREY), tolerance=1),
    ImageMode("CMYK.jpg", _saved(_image(COLOURS, "CMYK"), "jpg", **_JPEG), COLOURS, tolerance=6),
    ImageMode("CMYK.tif", _saved(_image(COLOURS, "CMYK"), "tif"), COLOURS, network=False, browser=False),
    ImageMode("I16.png", deep_png(_deep(GREY)), _grey3(GREY)),
    ImageMode("I16.tif", _whole(GREY * 257, np.uint16), _grey3(GREY), network=False, browser=False),
    ImageMode("I32.tif", _whole(GREY * 257, np.int32), _grey3(GREY), network=False, browser=False),
    ImageMode("LA16.png", _deep_clear(GREY), _on_white(_grey3(GREY))),
    ImageMode("RGB16.png", deep_png(_deep(COLOURS)), COLOURS),
    ImageMode("RGBA16.png", _deep_clear(COLOURS), _on_white(COLOURS)),
    ImageMode("RGB16.tif", deep_tiff(_deep(COLOURS)), COLOURS, network=False, browser=False),
    # of a network that learnt from 12 bits in 16
    ImageMode("RGB-beside-12-bits.png", _saved(_COLOURS, "png"), COLOURS, 4095),
    ImageMode("I12.png", deep_png(_deep(GREY, 4095)), _grey3(GREY), 4095, browser=False),
    ImageMode(
        "I12.tif", _whole(_deep(GREY, 4095), np.uint16), _grey3(GREY), 4095, network=False, browser=False
    ),
    ImageMode("LA12.png", _deep_clear(GREY, 4095), _on_white(_grey3(GREY)), 4095, browser=False),
    ImageMode("RGB12.png", deep_png(_deep(COLOURS, 4095)), COLOURS, 4095, browser=False),
    ImageMode("RGBA12.png", _deep_clear(COLOURS, 4095), _on_white(COLOURS), 4095, browser=False),
    ImageMode("RGB12.tif", deep_tiff(_deep(COLOURS, 4095)), COLOURS, 4095, network=False, browser=False),
    ImageMode("I16-beside-12-bits.png", deep_png(_deep(GREY)), None, 4095),
    # of a network that learnt from 0 and 1
    ImageMode("0-and-1.png", _saved(_image(_FEW), "png"), _grey3(_BITS), 1),
    ImageMode("0-to-255.png", _saved(_GREY, "png"), _grey3(GREY), 1),
    ImageMode("RGB-0-and-1.png", _saved(_image(COLOURS // 128), "png"), COLOURS // 128 * 255, 1),
    ImageMode("I16-0-and-1.png", deep_png(_FEW.astype(np.uint16)), _grey3(_BITS), 1, browser=False),
    # of which no network can see anything
    ImageMode("negative.tif", _whole(GREY - 9, np.int32), None),
    ImageMode("more-than-16-bits.tif", _whole(GREY * 70_000, np.int32), None),
    ImageMode("floats.tif", _whole(GREY / 255, np.float32), None),
    ImageMode("no-image.png", b"no image", None),
)
