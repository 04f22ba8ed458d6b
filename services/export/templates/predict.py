"""Classify images with the model.onnx beside this script: python predict.py [--top K] [--json] IMAGE…

Needs onnxruntime, numpy and pillow. Images are read as they were for training: see README.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import BinaryIO

import numpy as np
import onnxruntime
from PIL import Image, ImageOps, features

NETWORK_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")  # decoders that may see bytes which a stranger sent
FORMATS = (*NETWORK_FORMATS, "GIF", "TIFF", *(("AVIF",) if features.check("avif") else ()))
MAX_PIXELS = 100_000_000  # a larger image is more likely a decompression bomb
MAX_BYTES = 150_000_000  # of the pixels that are decoded at once
BLANK = 8  # levels, which nobody sees between the darkest and the lightest
DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")


def read_pixels(
    path: Path | BinaryIO, size: int, channels: int, formats: tuple[str, ...] = FORMATS
) -> np.ndarray:
    """The image at ``path`` or in a file as (size, size, channels) uint8; ``channels`` is 1 (grey) or 3 (RGB)."""
    if isinstance(path, Path) and path.exists() and not path.is_file():
        raise ValueError("is not a regular file")  # opening a pipe could wait for ever
    with Image.open(path, formats=formats) as image:
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(f"more than {MAX_PIXELS / 1e6:g} megapixels")
        image.draft(None, (size, size))  # lets a large JPEG be decoded at a fraction of its size
        num_bytes = image.width * image.height * max(len(image.getbands()), 3)
        if num_bytes > MAX_BYTES:
            raise ValueError(f"its pixels take {num_bytes / 1e6:.0f} MB, more than {MAX_BYTES / 1e6:.0f} MB")
        flat = flatten(ImageOps.exif_transpose(image)).convert("L" if channels == 1 else "RGB")
        if flat.size != (size, size):
            flat = ImageOps.fit(flat, (size, size), method=Image.Resampling.BICUBIC)
        return np.asarray(flat).reshape(size, size, channels)  # (H, W, C)


def flatten(image: Image.Image) -> Image.Image:
    """``image`` with 8 bits a level, laid on white where it is transparent, or on black if white would hide it."""
    if image.mode == "F":
        raise ValueError("its levels are no whole numbers; convert it to 8 or 16 bits")
    if image.mode in DEEP_MODES:
        levels = np.asarray(image) >> 8  # Pillow would clip at 255 instead
        image = Image.fromarray(levels.clip(0, 255).astype(np.uint8))
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
    class_names = json.loads(metadata["class_names"])
    num_unreadable = 0
    for path in arguments.images:
        try:
            pixels = read_pixels(path, int(metadata["image_size"]), int(metadata["in_channels"]))
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
