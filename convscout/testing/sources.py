"""Kit for datasets: what a source reads."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from convscout.search_space.errors import ConvscoutError
from convscout.trials.data.mapped_images import blocks
from convscout.trials.data.sources import LARGEST_IMAGE, DataRequest, Source, SourceImages, load, sources
from convscout.trials.data.splits import SYMMETRIES, DataSplits, LabelledImages


def check_source(data: str, *, data_dir: Path | None = None, overlap: float = 0.0) -> None:
    """The source of ``data``, which is spelled as for ``--data``, reads the same labelled images each time.

    It is found by its registered name. ``data_dir`` holds what it would download. There are at least ten images of
    each class. Of the validation and test images that the source holds out itself, a share of ``overlap`` may be among
    the training images too.
    """
    with TemporaryDirectory() as cache:
        request = DataRequest(data=data, data_dir=data_dir, seed=0, cache=Path(cache))
        told: list[tuple[str, int, int]] = []
        whole = _load(request, told)
        for description, done, total in told:
            assert 0 <= done <= total, f"it tells that {done} of {total} are done: {description}"
        source = sources.get(request.source)()
        found = source.read(request, _silent)
        _check_names(found)
        _check_pixels(whole)
        _check_overlap(found, overlap)
        assert _load(request).fingerprint == whole.fingerprint, "it reads other images the second time"
        _check_part(whole, request)
        _check_size(whole, request)
        if source.location:
            _check_bad_locations(source, request, Path(cache))


def _load(request: DataRequest, told: list[tuple[str, int, int]] | None = None) -> DataSplits:
    try:
        return load(request, lambda *progress: None if told is None else told.append(progress))
    except ConvscoutError as error:
        raise AssertionError(f"{request.data} cannot be loaded: {error.message}") from error


def _silent(description: str, done: int, total: int) -> None:
    """Progress that nobody looks at."""


def _check_names(found: SourceImages) -> None:
    names = found.class_names
    assert isinstance(names, tuple), f"the names of the classes are no tuple, but {names!r}"
    for name in names:
        assert type(name) is str and name.strip(), f"a class is called {name!r}, which is no name"
        assert names.count(name) == 1, f"several classes are called {name!r}"
    for symmetry in found.symmetries:
        assert symmetry in SYMMETRIES, f"the symmetry {symmetry!r} is none of {', '.join(SYMMETRIES)}"


def _check_pixels(whole: DataSplits) -> None:
    channels = whole.image.in_channels
    assert channels in (1, 3), f"images have {channels} channels; they must have 1 or 3"
    brightest = max(int(block.max()) for block in blocks(whole.train.images))
    assert brightest > 1, f"no pixel is brighter than {brightest}; pixels lie in [0, 255], not in [0, 1]"


def _check_overlap(found: SourceImages, overlap: float) -> None:
    known = set(_hashes(found.train))
    for name in found.parts.keys() - {"train"}:
        hashes = _hashes(found.parts[name])
        shared = sum(each in known for each in hashes)
        assert shared <= overlap * len(hashes), (
            f"{shared} of {len(hashes)} {name} images are among the training images; overlap={overlap:g} allows "
            f"{int(overlap * len(hashes))}"
        )


def _check_part(whole: DataSplits, request: DataRequest) -> None:
    """A smaller share is a part of the larger one, and the test split is no matter of the seed."""
    part = _load(replace(request, share=0.5, seed=1))
    for name, some, every in (
        ("training", part.train, whole.train),
        ("test", part.open_test(), whole.open_test()),
    ):
        assert len(some) < len(every), (
            f"half of the images are asked for, but it reads all {len(every)} {name} images"
        )
    assert set(_hashes(part.open_test())) <= set(_hashes(whole.open_test())), (
        "of half of the images, or by another seed, other images are the test images"
    )


def _hashes(part: LabelledImages) -> list[bytes]:
    return [hashlib.blake2b(pixels.tobytes(), digest_size=16).digest() for pixels in part.images]


def _check_size(whole: DataSplits, request: DataRequest) -> None:
    side = whole.image.image_size
    wanted = side + 1 if side < LARGEST_IMAGE else side - 1
    found = _load(replace(request, image_size=wanted)).image.image_size
    assert found == wanted, f"images of {wanted} pixels a side are asked for, but it reads them with {found}"


def _check_bad_locations(source: Source, request: DataRequest, directory: Path) -> None:
    """A location that is not there, an empty directory and a file of nonsense are refused in words."""
    missing, empty, nonsense = (directory / name for name in ("missing", "empty", "nonsense"))
    empty.mkdir()
    nonsense.write_bytes(bytes(range(256)))
    for location in (missing, empty, nonsense):
        data = f"{source.name}:{location}"
        try:
            load(replace(request, data=data))
        except ConvscoutError as error:
            assert str(location) in error.message, f"{data} is refused without its name: {error.message}"
        except Exception as error:
            raise AssertionError(
                f"{data}, where no images are, ends with {type(error).__name__} instead of DataError: {error}"
            ) from error
        else:
            raise AssertionError(f"{data} is read, but no images are there")
