"""Array archive: read images, labels and texts from an npz file that nobody vouches for."""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
import numpy.typing as npt

from convscout.search_space.errors import DataError
from convscout.trials.compute.memory import require_memory
from convscout.trials.data.splits import Labels
from convscout.trials.data.white import FULL, LevelArray

_LARGEST_LABEL = 2**31
_MOST_RATIO = 400  # between what is unpacked and the file; images hardly reach 50, and zip ends at 1,032
_SLACK_BYTES = 2**28  # may be unpacked in any case
_NUMBERED = "class_names, y = numpy.unique({}, return_inverse=True)"  # how texts become labels
_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class ArrayArchive:
    """The arrays of the npz file at ``path``, closed by its context. A ``DataError`` names what is wrong."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise DataError(
                f"{path} {'is not a file' if path.exists() else 'does not exist'}; give an npz file"
            )
        try:
            with zipfile.ZipFile(path) as archive:
                num_bytes = sum(entry.file_size for entry in archive.infolist())
                num_packed = sum(entry.compress_size for entry in archive.infolist())
        except (OSError, zipfile.BadZipFile) as error:
            raise DataError(f"{path}: is not an npz file ({error}); write one with numpy.savez") from error
        if num_bytes > max(_SLACK_BYTES, _MOST_RATIO * num_packed):
            raise DataError(
                f"{path}: {num_packed / 1e6:.3g} MB unpack to {num_bytes / 1e6:,.0f} MB, more than {_MOST_RATIO} times "
                "as much, so it may be a decompression bomb; if it is none, write it with numpy.savez"
            )
        # twice, once as it is and once in splits; it also stops a file that unpacks without end
        require_memory(2 * num_bytes, what=f"{path}: its arrays", remedy="use fewer or smaller images")
        self._arrays = np.load(path, allow_pickle=False)
        self.names = frozenset(self._arrays.files)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._arrays.close()

    def images(self, name: str) -> LevelArray:
        """The array ``name`` as (N, H, W, C): whole numbers in [0, 65535], or floats in [0, 1]."""
        array = self._numbers(name)
        if array.ndim == 3:
            array = array[..., np.newaxis]  # (N, H, W) → (N, H, W, 1)
        if array.ndim != 4 or array.shape[3] not in (1, 3) or 0 in array.shape[1:]:
            rule = f"images must be (N, H, W), (N, H, W, 1) or (N, H, W, 3){_shape_hint(array.shape)}"
            raise self._fault(name, f"shape {array.shape}", rule)
        self._check_range(name, array)
        return array

    def labels(self, name: str) -> Labels:
        """The array ``name`` as (N,) int64."""
        array = self._array(name, pickled=_NUMBERED.format("y.astype(str)"))
        if array.dtype.kind in "US":
            raise self._fault(
                name, f"type {array.dtype}", f"labels must be whole numbers: {_NUMBERED.format('y')}"
            )
        if array.ndim == 2 and array.shape[1] == 1:
            array = array[:, 0]  # (N, 1) → (N,), as Keras gives CIFAR's
        if array.ndim != 1:
            raise self._fault(
                name, f"shape {array.shape}", f"labels must be (N,) or (N, 1){_rows_hint(array)}"
            )
        if array.dtype.kind not in "iu":
            raise self._fault(
                name, f"type {array.dtype}", "labels must be whole numbers: y.astype(numpy.int64)"
            )
        if len(array) and (array.min() < 0 or array.max() >= _LARGEST_LABEL):
            wrong = array.min() if array.min() < 0 else array.max()
            raise self._fault(
                name, f"label {wrong}", "labels must be 0, 1, 2, … up to the number of classes less one"
            )
        return array.astype(np.int64)

    def texts(self, name: str) -> tuple[str, ...]:
        """The array ``name`` as text."""
        array = self._array(name, pickled=f"{name}.astype(str)")
        if array.ndim != 1 or array.dtype.kind != "U":
            rule = f"it must be a list of texts: {name}.ravel().astype(str)"
            raise self._fault(name, f"shape {array.shape} and type {array.dtype}", rule)
        for text in array.tolist():
            if not (text.strip() and text.isprintable()):
                raise self._fault(name, f"the text {text!r}", "each must be printable, and not blank")
        return tuple(array.tolist())

    def _array(self, name: str, pickled: str = "numpy.stack(images)") -> npt.NDArray[Any]:
        try:
            if self._header(name).hasobject:
                rule = f"a pickle can run code and is never read; save an array without objects: {pickled}"
                raise self._fault(name, "Python objects (a pickle)", rule)
            array: npt.NDArray[Any] = self._arrays[name]
        except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise DataError(f"{self.path}: {name} is damaged ({error}); write the file again") from error
        return array

    def _header(self, name: str) -> np.dtype[Any]:
        """The type that the array's header names.

        Raises ``ValueError`` if the bytes behind it are not as many as it says, so that no more is allocated.
        """
        archive = self._arrays.zip
        entry = archive.getinfo(f"{name}.npy" if f"{name}.npy" in archive.namelist() else name)
        with archive.open(entry) as file:
            shape, dtype = read_header(file)
            held = entry.file_size - file.tell()
        if not dtype.hasobject and held != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"its header says {shape} of {dtype}, but it holds {held} bytes")
        return dtype

    def _numbers(self, name: str) -> npt.NDArray[Any]:
        array = self._array(name)
        if array.dtype.kind not in "iuf":
            mend = ": x.astype(numpy.uint8)" if array.dtype.kind == "b" else ""
            raise self._fault(name, f"type {array.dtype}", f"it must hold whole numbers or floats{mend}")
        return array

    def _check_range(self, name: str, array: LevelArray) -> None:
        floats = array.dtype.kind == "f"
        low, high = (array.min(), array.max()) if array.size else (0, 0)
        if not (low >= 0 and high <= (1 if floats else FULL)):  # so that NaN is caught too
            kind = "floats in [0, 1]: (x / 255)" if floats else f"whole numbers in [0, {FULL}]"
            raise self._fault(
                name, f"values in [{low:g}, {high:g}]", f"images of type {array.dtype} must be {kind}"
            )

    def _fault(self, name: str, found: str, rule: str) -> DataError:
        return DataError(f"{self.path}: {name} has {found}, but {rule}")


def read_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type that the header at the beginning of an npy ``file`` names. Raises ``ValueError`` for none."""
    try:
        shape, _, dtype = _READERS[np.lib.format.read_magic(file)](file)
    except Exception as error:  # the parser of what looks like Python raises anything
        raise ValueError(f"it has no header of an array: {error}") from error
    return shape, dtype


def _shape_hint(shape: tuple[int, ...]) -> str:
    """What to do about images of this ``shape``, where that can be told."""
    if len(shape) == 4 and shape[1] in (1, 3):
        return "; move the channels last: x.transpose(0, 2, 3, 1)"
    if len(shape) == 4 and shape[3] == 4:
        return "; leave out the opacity: x[..., :3]"
    if len(shape) == 2 and (side := math.isqrt(shape[1])) ** 2 == shape[1] > 1:
        return f"; give rows of pixels their shape: x.reshape(-1, {side}, {side})"
    return ""


def _rows_hint(array: npt.NDArray[Any]) -> str:
    """What to do about rows of labels, if they are such."""
    if array.ndim != 2 or array.dtype.kind not in "iufb":
        return ""
    if (array.sum(axis=1) == 1).all() and ((array == 0) | (array == 1)).all():
        return "; turn one-hot rows into labels: y.argmax(1)"
    return "; several labels an image cannot be learnt, so keep one column: y[:, 0]"
