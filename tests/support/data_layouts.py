"""Every layout of a directory of images that is understood, for the tests and for docs/data.md."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

CLASSES = ("cat", "dog")
PER_CLASS = 3


@dataclass(frozen=True, kw_only=True)
class TreeExample:
    """Folders of three images each, ``CLASS`` standing for each of two classes, and what they mean.

    ``splits`` counts the images of each split that the tree has. ``note`` is a part of what a person is told.
    """

    folders: tuple[str, ...]
    means: str
    splits: dict[str, int]
    note: str = ""

    def write(self, root: Path) -> Path:
        """The tree under ``root``, which is returned."""
        for folder in self.folders:
            for name in CLASSES if "CLASS" in folder else ("",):
                write_images(root / folder.replace("CLASS", name))
        return root


@cache
def _png() -> bytes:
    Image.new("L", (4, 4), 90).save(buffer := BytesIO(), "PNG")
    return buffer.getvalue()


def write_images(folder: Path, count: int = PER_CLASS) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        (folder / f"{index}.png").write_bytes(_png())


TREES = (
    TreeExample(
        folders=("CLASS",),
        means="classes; 20 % of each become the test split, and validation is taken out of the rest",
        splits={"train": 6},
    ),
    TreeExample(
        folders=("CLASS/2019", "CLASS/2020"),
        means="images may lie in folders of a class; where all have the same, a note asks whether those are classes",
        splits={"train": 12},
        note="each of cat/, dog/ is read as a class, and 2019/, 2020/ in each as more of its images; if those are the",
    ),
    TreeExample(
        folders=("train/CLASS", "test/CLASS"),
        means="splits; validation is taken out of train",
        splits={"train": 6, "test": 6},
    ),
    TreeExample(
        folders=("train/CLASS", "val/CLASS", "test/CLASS"),
        means="three splits; `valid` and `validation` are the same word",
        splits={"train": 6, "validation": 6, "test": 6},
    ),
    TreeExample(
        folders=("TRAINING/CLASS", "Dev/CLASS", "Testing/CLASS"),
        means="the same: case does not matter, nor `training`, `testing`, `dev`, `eval`, `train_set`, `train_data`",
        splits={"train": 6, "validation": 6, "test": 6},
        note="splits: TRAINING/ as train, Dev/ as validation, Testing/ as test",
    ),
    TreeExample(
        folders=("seg_train/seg_train/CLASS", "seg_test/seg_test/CLASS", "seg_pred"),
        means="the same, with a word that splits share; what lies beside splits is left out",
        splits={"train": 6, "test": 6},
        note="left out, as they lie beside the splits and are none: seg_pred/",
    ),
    TreeExample(
        folders=("train2017/CLASS", "val2017/CLASS", "test2017/CLASS"),
        means="the same",
        splits={"train": 6, "validation": 6, "test": 6},
        note="splits: train2017/ as train, val2017/ as validation, test2017/ as test",
    ),
    TreeExample(
        folders=("trainData/CLASS", "testData/CLASS"),
        means="the same: a word may begin with a capital letter",
        splits={"train": 6, "test": 6},
        note="splits: trainData/ as train, testData/ as test",
    ),
    TreeExample(
        folders=("CLASS/train", "CLASS/test"),
        means="splits of each class, which all classes must have",
        splits={"train": 6, "test": 6},
        note="splits: each class folder has its own (train/ and test/)",
    ),
    TreeExample(
        folders=("CLASS", "cat/test"),
        means="`cat/test` without a `cat/train`: more images of `cat`, not a split",
        splits={"train": 9},
        note="read as more images of their class, not as splits: cat/test/",
    ),
    TreeExample(
        folders=("download/animals/CLASS",),
        means="a folder that holds nothing but one folder is entered",
        splits={"train": 6},
        note="the classes are taken from download/animals/, the only folder",
    ),
    TreeExample(
        folders=("CLASS", "@eaDir", "__MACOSX", "lost+found", "cat/thumbnails", "dog/@eaDir"),
        means="what systems and programs put beside pictures is left out",
        splits={"train": 6},
        note="@eaDir/, __MACOSX/, cat/thumbnails/, dog/@eaDir/, lost+found/",
    ),
    TreeExample(
        folders=("CLASS", "cat/siamese", "cat/manx"),
        means="classes, of which one has its images in folders; a note names them",
        splits={"train": 12},
        note="folders within a class are read as more of its images: cat/manx/, cat/siamese/",
    ),
    TreeExample(
        folders=("CLASS", ".git/objects"),
        means="hidden folders and files (`.name`) are passed over, without a note",
        splits={"train": 6},
    ),
)

REFUSED_TREES = (
    (("val/CLASS", "test/CLASS"), "has val/ and test/ but no train/; add"),
    (("train/CLASS", "val/CLASS"), "has train/ but no test/; add"),
    (
        ("train/CLASS", "dev/CLASS", "val/CLASS", "test/CLASS"),
        "has both dev and val; keep one validation split",
    ),
    (("train/CLASS", "test"), "has no class folders, so nothing says what its images show"),
    (("train", "test"), "has train/ and test/ without class folders in them"),
    (("train", "test", "CLASS"), "has train/ and test/ without class folders in them"),
    (("val", "test"), "has val/ and test/ without class folders in them; put each"),
    (("cat/train", "cat/test", "dog"), "has train/ and test/, but dog/ has no splits"),
    (("CLASS", "CLASS/train", "CLASS/test"), "has train/ and test/ and images beside them"),
    (("CLASS/train", "CLASS/val"), "but no test/; add one to each class"),
    (
        ("cat_train/CLASS", "cat_test/CLASS", "dog_train/CLASS", "dog_test/CLASS"),
        "has both cat_train and dog_train",
    ),
)


@dataclass(frozen=True, kw_only=True)
class PictureExample:
    """A kind of file with a picture whose left half is black and whose right half is white, and how it is read."""

    what: str
    read_as: str
    name: str
    mode: str = "RGB"
    tolerance: int = 0

    def write(self, folder: Path) -> Path:
        """The file in ``folder``."""
        self._draw().save(folder / self.name, lossless=True)
        return folder / self.name

    def pixels(self) -> npt.NDArray[np.int64]:
        """What is read of it, (4, 4, 3)."""
        pixels = np.zeros((4, 4, 3), dtype=np.int64)
        pixels[:, 2:] = 255
        return pixels

    def _draw(self) -> Image.Image:
        if self.mode == "I;16":
            return Image.fromarray((self.pixels()[..., 0] * 257).astype(np.uint16))
        if "ink" not in self.mode:
            return Image.fromarray(self.pixels().astype(np.uint8)).convert(self.mode)
        black = self.mode == "black ink"
        ink = np.full((4, 4, 4), 0 if black else 255, dtype=np.uint8)
        ink[:, 2:, 3], ink[:, :2, 3] = (0, 255) if black else (255, 0)
        return Image.fromarray(ink)


PICTURES = (
    PictureExample(what="PNG", name="x.png", read_as="as it is; grey only where all files are grey"),
    PictureExample(
        what="JPEG (`.jpg`, `.jpeg`, `.jpe`, `.jfif`)",
        name="x.jpg",
        mode="L",
        tolerance=8,
        read_as="turned upright as EXIF says; one of up to 100 megapixels is decoded at a fraction of its size",
    ),
    PictureExample(what="WebP", name="x.webp", read_as="its first picture"),
    PictureExample(what="BMP", name="x.bmp", read_as="as it is"),
    PictureExample(what="GIF", name="x.gif", mode="P", read_as="its first picture; not in uploads"),
    PictureExample(what="TIFF", name="x.tif", read_as="its first picture; not in uploads"),
    PictureExample(
        what="AVIF",
        name="x.avif",
        tolerance=12,
        read_as="its first picture, where Pillow reads it; not in uploads",
    ),
    PictureExample(what="black and white, 1 bit", name="x.png", mode="1", read_as="black and white"),
    PictureExample(what="palette", name="x.png", mode="P", read_as="its colours"),
    PictureExample(what="CMYK", name="x.tif", mode="CMYK", tolerance=8, read_as="RGB"),
    PictureExample(
        what="16 bits a level",
        name="x.png",
        mode="I;16",
        read_as="its high byte; where no file uses more than 12 bits, the highest level of those is white in all",
    ),
    PictureExample(what="transparency", name="x.png", mode="black ink", read_as="laid on white"),
    PictureExample(
        what="white ink on transparency",
        name="x.png",
        mode="white ink",
        read_as="laid on black, as white would hide it; each picture by itself",
    ),
)


def table() -> str:
    """The rows of the table in docs/data.md."""
    rows = [("<br>".join(f"`{folder}/`" for folder in each.folders), each.means) for each in TREES]
    rows += [(each.what, each.read_as) for each in PICTURES]
    return "".join(f"| {what} | {how} |\n" for what, how in rows)
