"""Classify images with the model.onnx beside this script: python predict.py [--top K] [--json] IMAGE…

Needs onnxruntime, numpy and pillow. Images are read as they were for training: see README.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import onnxruntime
from PIL import ExifTags, Image, ImageFile, ImageOps, features

NETWORK_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")  # decoders that may see bytes which a stranger sent
FORMATS = (*NETWORK_FORMATS, "GIF", "TIFF", *(("AVIF",) if features.check("avif") else ()))
MAX_PIXELS = 100_000_000  # a larger image is more likely a decompression bomb
MAX_BYTES = 150_000_000  # of the pixels that are decoded at once
FULL, FEW = 65535, 16  # white of 16 bits where nothing else is known, and so few levels that they are spread
BLANK = 8  # levels, which nobody sees between the darkest and the lightest
DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")
# Pillow keeps one byte of each 16-bit level of a colour, and which it is goes by the raw mode that it reads in
LOW_BYTES = {"16B": "16L", "16L": "16B", "16N": "16B" if sys.byteorder == "little" else "16L"}


class Wanted(NamedTuple):
    """Which pixels the network wants: ``channels`` is 1 (grey) or 3 (RGB), ``white`` the level that was white."""

    size: int
    channels: int
    white: int

    @classmethod
    def by(cls, metadata: dict[str, str]) -> Wanted:
        """As the file of the network says."""
        size, channels = int(metadata["image_size"]), int(metadata["in_channels"])
        return cls(size, channels, int(metadata.get("white", FULL)))


def read_pixels(path: Path | BinaryIO, wanted: Wanted, formats: tuple[str, ...] = FORMATS) -> np.ndarray:
    """The image at ``path`` or in a file as (size, size, channels) uint8."""
    if isinstance(path, Path) and path.exists() and not path.is_file():
        raise ValueError("is not a regular file")  # opening a pipe could wait for ever
    with Image.open(path, formats=formats) as image:
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(f"more than {MAX_PIXELS / 1e6:g} megapixels")
        square, white = (wanted.size, wanted.size), wanted.white
        image.draft(None, square)  # lets a large JPEG be decoded at a fraction of its size
        num_bytes = image.width * image.height * max(len(image.getbands()), 3)
        if num_bytes > MAX_BYTES:
            raise ValueError(f"its pixels take {num_bytes / 1e6:.0f} MB, more than {MAX_BYTES / 1e6:.0f} MB")
        deep = is_deep(image)
        needs_low_bytes = deep and white < FULL and image.mode not in DEEP_MODES
        picture = with_white(image, path, formats, white) if needs_low_bytes else image
        flat = flatten(ImageOps.exif_transpose(picture), white)
        flat = flat.convert("L" if wanted.channels == 1 else "RGB")
        if white <= FEW and not deep and np.asarray(flat).max() <= white:  # else it has 255 for white
            flat = Image.fromarray(to_bytes(np.asarray(flat), white))
        if flat.size != square:
            flat = ImageOps.fit(flat, square, method=Image.Resampling.BICUBIC)
        return np.asarray(flat).reshape(*square, wanted.channels)  # (H, W, C)


def is_deep(image: ImageFile.ImageFile) -> bool:
    """Whether a level has 16 bits, before the pixels are read."""
    return image.mode in DEEP_MODES or any(raw_mode(tile).endswith(tuple(LOW_BYTES)) for tile in image.tile)


def raw_mode(tile: ImageFile._Tile) -> str:
    """How Pillow reads a ``tile`` of a file."""
    return str(tile.args[0] if isinstance(tile.args, tuple) and tile.args else tile.args)


def with_white(
    image: Image.Image, path: Path | BinaryIO, formats: tuple[str, ...], white: int
) -> Image.Image:
    """``image``, whose colours have 16 bits in the file, in 8 bits by ``white``; as transparent, and as it lies."""
    high = np.asarray(image)[..., :3].astype(np.uint16)
    with Image.open(path, formats=formats) as again:
        low = read_low_bytes(again)
    result = Image.fromarray(read_deep(high << 8 | low, white))
    if image.has_transparency_data:
        result.putalpha(image.convert("RGBA").getchannel("A"))
    result.getexif()[ExifTags.Base.Orientation] = image.getexif().get(ExifTags.Base.Orientation, 1)
    return result


def read_low_bytes(image: ImageFile.ImageFile) -> np.ndarray:
    """The lower bytes (H, W, 3 or 1) of the 16-bit levels of an ``image`` that is not read yet."""
    grey = any(raw_mode(tile).startswith("LA;") for tile in image.tile)
    image.tile = [tile._replace(args=low_args(tile)) for tile in image.tile]
    return np.asarray(image)[..., 1:2] if grey else np.asarray(image)[..., :3]


def low_args(tile: ImageFile._Tile) -> str | tuple[Any, ...]:
    """How Pillow reads the lower bytes of ``tile``.

    It knows none of grey with transparency; read as RGBA, the second byte is the lower one of grey.
    """
    mode, further = raw_mode(tile), tile.args[1:] if isinstance(tile.args, tuple) else ()
    mode = "RGBA" if mode.startswith("LA;") else mode[:-3] + LOW_BYTES[mode[-3:]]
    return (mode, *further) if further else mode


def read_deep(levels: np.ndarray, white: int) -> np.ndarray:
    """Levels of 16 bits as bytes."""
    low, high = int(levels.min()), int(levels.max())
    if low < 0 or high > FULL:
        raise ValueError(
            f"its levels lie in [{low}, {high}], but must lie in [0, {FULL}]; save it with 8 or 16 bits"
        )
    if high > white:
        raise ValueError(
            f"its 16-bit levels reach {high}, but {white} was white in training; save it with 8 bits"
        )
    return to_bytes(levels, white)


def to_bytes(levels: np.ndarray, white: int) -> np.ndarray:
    """``levels`` from 0 to ``white`` as bytes, of which 255 is white; those of full range keep their high byte."""
    if white == FULL:
        return (levels >> 8).astype(np.uint8)
    return np.take(np.rint(np.arange(white + 1) * (255 / white)).astype(np.uint8), levels)


def flatten(image: Image.Image, white: int) -> Image.Image:
    """``image`` with 8 bits a level, laid on white where it is transparent, or on black if white would hide it."""
    if image.mode == "F":
        raise ValueError("its levels are no whole numbers; convert it to 8 or 16 bits")
    if image.mode in DEEP_MODES:
        image = Image.fromarray(read_deep(np.asarray(image), white))  # Pillow would clip at 255 instead
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, lies_on(image)), image)
    return image


def lies_on(image: Image.Image) -> str:
    """The colour to lay an RGBA ``image`` on: white, or black where nothing would be seen on white but on black."""
    for colour in ("white", "black"):
        flat = Image.alpha_composite(Image.new("RGBA", image.size, colour), image)
        if any(np.ptp(np.asarray(flat.getchannel(channel))) > BLANK for channel in "RGB"):
            return colour
    return "white"


def main() -> int:
    """Print the most probable classes of each image; the exit code is 1 when one could not be read."""
    parser = argparse.ArgumentParser(description="Classify images with model.onnx.")
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="image file")
    parser.add_argument(
        "--top", type=int, default=3, metavar="K", help="how many classes to print (default: 3)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    arguments = parser.parse_args()
    if arguments.top < 1:
        parser.error(f"--top must be a whole number from 1, but is {arguments.top}")

    session = onnxruntime.InferenceSession(
        Path(__file__).with_name("model.onnx"), providers=["CPUExecutionProvider"]
    )
    metadata = session.get_modelmeta().custom_metadata_map
    class_names, wanted = json.loads(metadata["class_names"]), Wanted.by(metadata)
    num_unreadable = 0
    for path in arguments.images:
        try:
            pixels = read_pixels(path, wanted)
        except Exception as error:  # Pillow's decoders raise anything on a damaged file
            print(f"{path}: cannot be read: {error}", file=sys.stderr)
            num_unreadable += 1
            continue
        (probabilities,) = session.run(["probabilities"], {"images": pixels[np.newaxis]})  # (1, K)
        best = np.argsort(-probabilities[0], kind="stable")[: arguments.top]
        top = {class_names[index]: float(probabilities[0, index]) for index in best}
        if arguments.json:
            print(json.dumps({"path": str(path), "top": top}))
        else:
            print(f"{path}: " + ", ".join(f"{name} {share:.4f}" for name, share in top.items()))
    return 1 if num_unreadable else 0


if __name__ == "__main__":
    sys.exit(main())
