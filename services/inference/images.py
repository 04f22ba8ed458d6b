"""Pictures in whatever form they come, as the pixels that a model takes: the one door of all that predicts.

Taken are paths of image files, directories and globs, Pillow's images, NumPy arrays, torch's tensors, and lists of
these. They become what training made of image files (``trials/data/image_files.py``): upright, the square in the
middle, grey or RGB as the model wants it, transparency laid on white, levels read by what was white in training
(``trials/data/white.py``), and resized. The same picture so gets the same answer in every form. What could mean two
things is refused.
"""

from __future__ import annotations

import glob
import io
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageFile

from convscout.search_space.errors import DataError
from convscout.trials.data.image_files import (
    NETWORK_FORMATS,
    SUFFIXES,
    convert_image,
    kind_of,
    problem_of,
    read_pixels,
)
from convscout.trials.data.splits import Pixels
from convscout.trials.data.tree_names import is_hidden, is_ignored
from convscout.trials.data.white import BYTE, FULL, spread_few, to_bytes

Pictures: TypeAlias = (
    "str | os.PathLike[str] | bytes | Image.Image | npt.NDArray[Any] | torch.Tensor | Sequence[Pictures]"
)

_CHANNELS = (1, 3, 4)  # grey, RGB, RGB with opacity
_KINDS = {  # how to mend arrays of other types, by NumPy's letter
    "b": "; scale them: 255 * x.astype(numpy.uint8)",
    "O": "; give a list of pictures: list(x)",
    "U": "; give a list of paths: list(x)",
}
_SHAPES = "(H, W), (H, W, C), (N, H, W) or (N, H, W, C) with C = 1 (grey), 3 (RGB) or 4 (RGBA)"


class InputPicture(NamedTuple):
    """A picture and what to call it: its path, or where it is in what was given, such as ``images[2]``.

    ``read`` makes (size, size, channels) uint8 of it, or raises ``DataError`` with the reason, without the name.
    """

    name: str
    read: Callable[[int, int], Pixels]


def pictures_of(given: Pictures, white: int) -> list[InputPicture]:
    """The pictures that ``given`` stands for, in order; files are not read yet. ``white`` is that of the model.

    Raises ``DataError``, which says how to mend it, for arrays that are no pictures or could mean two things.
    """
    try:
        return list(_pictures(given, "images", white))
    except RecursionError:
        raise DataError("images: lists lie too deep in each other; give one list of pictures") from None


def files_of(paths: Sequence[str]) -> list[Path]:
    """The files that ``paths`` stand for: files, directories and globs; a path that stands for none is kept."""
    return [file for path in paths for file in _files(path)]


def read_file(path: Path, size: int, channels: int, *, white: int) -> Pixels:
    """The pixels (size, size, channels) of an image file. Raises ``DataError`` with the reason, without the path."""
    try:
        exists = path.exists()
    except OSError as error:  # its name is too long, or what holds it may not be looked into
        raise DataError(f"cannot be read: {error.strerror}") from None
    if not exists:
        raise DataError("does not exist")
    if path.is_dir():
        raise DataError(f"has no image files ({', '.join(sorted(SUFFIXES))})")
    if not path.is_file():
        raise DataError("is not a regular file")  # opening a pipe could wait for ever
    if (kind := kind_of(path)) and (problem := problem_of(kind)):
        raise DataError(problem)
    return read_pixels(path, size, channels, white=white)


def read_bytes(content: bytes, size: int, channels: int, *, white: int) -> Pixels:
    """The pixels of an image file with this ``content``, which a stranger may have sent; as ``read_file``."""
    return read_pixels(io.BytesIO(content), size, channels, NETWORK_FORMATS, white=white)


def read_batches(
    pictures: Sequence[InputPicture], size: int, channels: int, batch_size: int
) -> Iterator[tuple[Sequence[InputPicture], list[Pixels | str]]]:
    """Batches of ``pictures``, each with the (size, size, channels) pixels of them, or why there are none."""

    def attempt(picture: InputPicture) -> Pixels | str:
        try:
            return picture.read(size, channels)
        except DataError as error:
            return error.message

    with ThreadPoolExecutor(thread_name_prefix="decode") as pool:  # decoding holds no lock
        for start in range(0, len(pictures), batch_size):
            batch = pictures[start : start + batch_size]
            with warnings.catch_warnings():  # here and not in the threads, which share one list of filters
                warnings.filterwarnings("ignore", module="PIL")  # a damaged file is named in our own words
                read = list(pool.map(attempt, batch))
            yield batch, read


def fit(images: Pixels, size: int, channels: int) -> Pixels:
    """(N, H, W, C) uint8 ``images`` as (N, size, size, channels); themselves if they are that already."""
    if images.shape[1:] == (size, size, channels):
        return images
    return np.stack([_convert_array(pixels, size, channels, white=FULL) for pixels in images])


def _pictures(given: Any, name: str, white: int) -> Iterator[InputPicture]:
    if isinstance(given, str | os.PathLike):
        for file in _files(os.fspath(given)):
            yield InputPicture(str(file), partial(read_file, file, white=white))
    elif isinstance(given, bytes):
        yield InputPicture(name, partial(read_bytes, given, white=white))
    elif isinstance(given, Image.Image) and given.mode != "F":  # which is an array of floats
        # what was read from a file is answered as the file is
        made = not isinstance(given, ImageFile.ImageFile)
        if made and white == FULL and given.mode == "I" and (most := int(np.asarray(given).max())) < 256:
            raise DataError(
                f"{name}: its mode I may hold 16 bits a level, but its levels end at {most}, which would be black; "
                "say that it has 8 bits: numpy.asarray(x, numpy.uint8)"
            )
        yield InputPicture(name, partial(convert_image, given, white=white))
    elif isinstance(given, list | tuple):
        for number, each in enumerate(given):
            yield from _pictures(each, f"{name}[{number}]", white)
    else:
        array = _array(given, name)
        batch = _with_all_axes(array, name, "permute" if isinstance(given, torch.Tensor) else "transpose")
        _check_levels(batch, name, white)
        alone = len(batch) == 1 and array.ndim < 4
        for number, pixels in enumerate(batch):
            read = partial(_convert_array, pixels, white=white)
            yield InputPicture(name if alone else f"{name}[{number}]", read)


def _array(given: Any, name: str) -> npt.NDArray[Any]:
    if isinstance(given, torch.Tensor):
        given = _array_of_tensor(given, name)
    elif not (hasattr(given, "__array__") or hasattr(given, "__array_interface__")):
        raise DataError(
            f"{name}: must be a path, the bytes of a file, a Pillow image, an array, a tensor or a list of these, "
            f"but is of type {type(given).__name__}{_mend_type(given)}"
        )
    if np.ma.is_masked(given):
        raise DataError(f"{name}: some pixels are masked; say what they are: x.filled(255)")
    array = np.asarray(given)
    if array.dtype.kind not in "iuf":
        mend = _KINDS.get(array.dtype.kind, "")
        raise DataError(f"{name}: must hold whole numbers or floats, but is of type {array.dtype}{mend}")
    return array


def _mend_type(given: Any) -> str:
    """How to make pictures of what is none, where that is plain."""
    if isinstance(given, int | float):
        return "; make an array of numbers: numpy.array(x)"
    if isinstance(given, bytearray | memoryview):
        return "; make bytes of it: bytes(x)"
    if hasattr(given, "read"):
        return "; read it: x.read()"
    return "; make a list of it: list(x)" if isinstance(given, Iterator | range) else ""


def _array_of_tensor(tensor: torch.Tensor, name: str) -> npt.NDArray[Any]:
    held = tensor.detach()
    try:
        held = held.cpu().resolve_neg()
        array: npt.NDArray[Any] = (held.float() if held.dtype == torch.bfloat16 else held).numpy()
    except (RuntimeError, TypeError) as error:  # sparse, quantised, or without any data
        raise DataError(f"{name}: the tensor cannot be read as an array: {error}") from None
    return array


def _with_all_axes(array: npt.NDArray[Any], name: str, move: str) -> npt.NDArray[Any]:
    """``array`` as (N, H, W, C). Raises ``DataError`` where it could be none, or several."""
    shape = array.shape
    if array.ndim not in (2, 3, 4):
        raise DataError(f"{name}: must be of shape {_SHAPES}, but is of shape {shape}")
    if array.ndim == 2:
        array = array[np.newaxis, ..., np.newaxis]
    elif array.ndim == 3 and shape[2] in _CHANNELS:
        array = array[np.newaxis]
    elif array.ndim == 3 and shape[0] in (3, 4):
        raise DataError(
            f"{name}: of shape {shape} it could be one picture with its channels first, or {shape[0]} grey ones; "
            f"move the channels last: x.{move}(1, 2, 0), or add an axis for grey ones: x[..., None]"
        )
    elif array.ndim == 3:
        array = array[..., np.newaxis]
    elif shape[3] not in _CHANNELS:
        mend = f"; move the channels last: x.{move}(0, 2, 3, 1)" if shape[1] in _CHANNELS else ""
        raise DataError(f"{name}: must be of shape {_SHAPES}, but is of shape {shape}{mend}")
    if len(array) and not array.size:
        raise DataError(f"{name}: of shape {shape} it has no pixels; leave out pictures without any")
    return array


def _check_levels(array: npt.NDArray[Any], name: str, white: int) -> None:
    """Raise ``DataError`` unless all are floats in [0, 1], or whole numbers up to what is white in them."""
    if array.dtype == np.uint8 or not array.size:
        return
    floats, low, high = array.dtype.kind == "f", array.min(), array.max()
    top = white if _is_deep(array, white) else BYTE
    if not (low >= 0 and high <= (1 if floats else top)):  # so that NaN is caught too
        rule = "floats must lie in [0, 1]" if floats else f"whole numbers must lie in [0, {top}]"
        mend = _mend(float(low), float(high), floats, top)
        raise DataError(f"{name}: {rule}, but these lie in [{low:g}, {high:g}]; {mend}")
    if top > BYTE >= high and array.dtype != np.uint16:
        raise DataError(
            f"{name}: of type {array.dtype} and up to {high}, these could have {BYTE} or, as in training, {top} for "
            "white; say which: x.astype(numpy.uint8), or x.astype(numpy.uint16)"
        )


def _is_deep(array: npt.NDArray[Any], white: int) -> bool:
    """Whether whole numbers are those of more than 8 bits, as a model with this ``white`` learnt from."""
    return array.dtype.kind in "iu" and array.dtype != np.uint8 and BYTE < white < FULL


def _convert_array(pixels: npt.NDArray[Any], size: int, channels: int, *, white: int) -> Pixels:
    """(H, W, C) ``pixels`` whose levels were checked, as (size, size, channels) uint8."""
    if pixels.dtype.kind == "f":
        levels = np.rint(pixels * np.float32(BYTE)).astype(np.uint8)
    elif _is_deep(pixels, white):
        levels = to_bytes(pixels, white)
    else:
        levels = spread_few(pixels.astype(np.uint8), white)
    levels = np.ascontiguousarray(levels)
    if levels.shape == (size, size, channels):
        return levels
    image = Image.fromarray(levels[..., 0] if levels.shape[2] == 1 else levels)
    return convert_image(image, size, channels)


def _mend(low: float, high: float, floats: bool, top: int) -> str:
    if not np.isfinite((low, high)).all():
        return "replace what is not finite"
    if low < 0:
        return "give the pixels as they were before they were normalised, which the model does by itself"
    if floats and high <= BYTE:
        return "divide by 255: x / 255"
    if top > BYTE:
        return f"bring them to that range, in which the model has {top} for white"
    if high <= FULL and not floats:
        return "keep the high byte of 16 bits: x // 256"
    return "scale them"


def _files(path: str) -> list[Path]:
    """The files that ``path`` stands for; ``path`` itself when it stands for none."""
    matches = [path]
    if not os.path.lexists(path):
        matches = sorted(glob.glob(path, recursive=True))  # noqa: PTH207 (Path.glob takes no absolute pattern)
    files = [file for match in matches for file in _files_in(Path(match))]
    return files or [Path(path)]


def _files_in(path: Path) -> list[Path]:
    if not os.path.isdir(path):  # noqa: PTH112 (Path.is_dir raises where a name is too long)
        return [path]
    return sorted(_walk(path))


def _walk(directory: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(directory):
        folders[:] = [folder for folder in folders if not (is_hidden(folder) or is_ignored(folder))]
        visible = (Path(root, name) for name in names if not is_hidden(name))
        yield from (path for path in visible if kind_of(path))
