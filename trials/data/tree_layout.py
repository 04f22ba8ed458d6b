"""Tree layouts: where the classes and the splits of a directory of image files lie.

These are known, where a split may have any of the names in ``trials/data/tree_names.py``::

    ROOT/<class>/…                                  to be split by convscout
    ROOT/train/<class>/…  ROOT/test/<class>/…       validation to be taken out of train
    ROOT/train/<class>/…  ROOT/val/<class>/…  ROOT/test/<class>/…
    ROOT/<class>/train/…  ROOT/<class>/test/…       the same with the class first

A folder that holds nothing but one folder may lie around all of that, or around the classes of a split. What can be
read in two ways is refused, unless one of them is far likelier; then a note says which was taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from convscout.search_space.errors import DataError, list_names
from convscout.trials.data.tree_names import SPLITS, find_splits
from convscout.trials.data.tree_walker import TreeWalker

_PLAIN = {"train", "val", "valid", "validation", "test"}  # names of splits that nobody wonders about
Folders: TypeAlias = Mapping[str, Path]
"""Folders by name."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """``classes`` by split: for each its folder, the same names in every split; ``train`` is always there.

    They lie under ``top``. ``notes`` tells of what was not plain.
    """

    top: Path
    classes: Mapping[str, Folders]
    notes: tuple[str, ...] = ()


def read_layout(walker: TreeWalker) -> Layout:
    """How the tree of ``walker`` is laid out. Raises ``DataError`` saying what to change where that is not clear."""
    top, notes = _enter(walker, walker.root)
    folders = walker.folders(top)
    if not folders:
        raise DataError(
            f"{top} has no class folders; each class needs a folder of its own, e.g. {top}/cat/1.png"
        )
    if strays := walker.count_images(top):
        notes.append(f"left out, as they lie in no class folder: {strays:,} image(s)")
    splits = find_splits(folders)
    if any(walker.folders(folders[name]) for names in splits.values() for name in names):
        classes, told = _splits_first(walker, top, folders, splits)
    elif len(splits) > 1:
        named = [name for names in splits.values() for name in names]
        raise DataError(
            f"{top} has {_slashed(named)} without class folders in them; put each image into a folder of its class, "
            f"as {top}/{named[0]}/cat/1.png, or give folders that are classes other names"
        )
    else:
        classes, told = _classes_first(walker, top, folders)
    _check_same_classes(top, classes)
    return Layout(top=top, classes=classes, notes=(*notes, *told))


def _enter(walker: TreeWalker, folder: Path, *, is_split: bool = False) -> tuple[Path, list[str]]:
    """The folder within ``folder`` that has more in it than one folder of folders, and a note if that is another.

    A lone folder that is called like a split is entered only within a folder that ``is_split``.
    """
    inner = folder
    walker.enter(inner)
    while len(folders := walker.folders(inner)) == 1 and not walker.count_images(inner):
        (only,) = folders.values()
        if (find_splits(folders) and not is_split) or walker.count_images(only) or not walker.folders(only):
            break
        inner = only
        walker.enter(inner)
    notes = (
        [f"the classes are taken from {walker.relative(inner)}/, the only folder"] if inner != folder else []
    )
    return inner, notes


def _splits_first(
    walker: TreeWalker, top: Path, folders: Folders, splits: Mapping[str, list[str]]
) -> tuple[dict[str, Folders], list[str]]:
    chosen = _one_each(top, splits)
    named = _slashed(chosen.values())
    if "train" not in chosen:
        raise DataError(
            f"{top} has {named} but no train/; add {top}/train/<class>/…, or, where these are "
            "classes, take their images out of the folders within them"
        )
    if "test" not in chosen:
        train = chosen["train"]
        raise DataError(
            f"{top} has {train}/ but no test/; add {top}/test/<class>/…, "
            f"or give {folders[train]} alone to have it split"
        )
    notes: list[str] = []
    classes: dict[str, Folders] = {}
    for split, name in chosen.items():
        inner, told = _enter(walker, folders[name], is_split=True)
        classes[split] = walker.folders(inner)
        notes += told
        if not classes[split]:
            raise DataError(
                f"{folders[name]} has no class folders, so nothing says what its images show; put each image into a "
                f"folder of its class, or move {name}/ elsewhere and put the class folders of {chosen['train']}/ "
                f"straight into {top} to have them split"
            )
        if strays := walker.count_images(inner):
            notes.append(f"left out, as they lie in no class folder: {strays:,} image(s) of {name}/")
    return classes, [*_note_splits(chosen, folders), *notes]


def _one_each(where: Path, splits: Mapping[str, list[str]]) -> dict[str, str]:
    """The folder of each split. Raises ``DataError`` where there are several of one."""
    for split, names in splits.items():
        if len(names) > 1:
            raise DataError(f"{where} has both {' and '.join(names)}; keep one {split} split")
    return {split: name for split, (name,) in splits.items()}


def _note_splits(chosen: Mapping[str, str], folders: Folders) -> list[str]:
    """Which folder was taken for which split, where it is called otherwise, and which for none."""
    notes = []
    if not {*chosen.values()} <= _PLAIN:
        taken = ", ".join(f"{name}/ as {split}" for split, name in chosen.items())
        notes.append(f"splits: {taken}")
    if others := [f"{name}/" for name in folders if name not in chosen.values()]:
        notes.append(f"left out, as they lie beside the splits and are none: {list_names(others)}")
    return notes


def _classes_first(walker: TreeWalker, top: Path, folders: Folders) -> tuple[dict[str, Folders], list[str]]:
    within = {name: walker.folders(folder) for name, folder in folders.items()}
    splits = {name: find_splits(inner) for name, inner in within.items()}
    if not any("train" in found and len(found) > 1 for found in splits.values()):
        inner = [
            f"{name}/{part}/" for name, found in splits.items() for parts in found.values() for part in parts
        ]
        notes = [f"read as more images of their class, not as splits: {list_names(inner)}"] if inner else []
        return {"train": folders}, [*notes, *_note_within(within)]
    return _splits_within(walker, top, folders, splits)


def _splits_within(
    walker: TreeWalker, top: Path, folders: Folders, splits: Mapping[str, Mapping[str, list[str]]]
) -> tuple[dict[str, Folders], list[str]]:
    """The splits that each class folder holds itself."""
    chosen = {name: _one_each(folders[name], found) for name, found in splits.items()}
    first = max(chosen, key=lambda name: len(chosen[name]))
    has = f"{top / first} has {_slashed(chosen[first].values())}"
    remedy = (
        "give every class the same splits and no images beside them, or move all images of a class together"
    )
    for name, found in chosen.items():
        if found.keys() != chosen[first].keys():
            raise DataError(f"{has}, but {name}/ has {_slashed(found.values()) or 'no splits'}; {remedy}")
        if walker.count_images(folders[name]):
            raise DataError(f"{top / name} has {_slashed(found.values())} and images beside them; {remedy}")
    if "test" not in chosen[first]:
        raise DataError(f"{has} but no test/; add one to each class, or move all images of a class together")
    classes: dict[str, Folders] = {
        split: {name: folders[name] / chosen[name][split] for name in folders}
        for split in SPLITS
        if split in chosen[first]
    }
    notes = [f"splits: each class folder has its own ({_slashed(chosen[first].values())})"]
    others = [
        f"{name}/{part}/"
        for name in folders
        for part in walker.folders(folders[name])
        if part not in chosen[name].values()
    ]
    if others:
        notes.append(f"left out, as they lie beside the splits and are none: {list_names(others)}")
    return classes, notes


def _note_within(within: Mapping[str, Folders]) -> list[str]:
    """A note on classes whose images lie in several folders, which could be the classes as well."""
    deep = {name: list(inner) for name, inner in within.items() if len(inner) > 1}
    if len(deep) == len(within) > 1 and len({*map(tuple, deep.values())}) == 1:
        outer, inner = (list_names([f"{name}/" for name in names]) for names in (deep, min(deep.values())))
        return [
            f"each of {outer} is read as a class, and {inner} in each as more of its images; if those are the classes, "
            "put the images of each into one folder"
        ]
    parts = [f"{name}/{part}/" for name, inner in deep.items() for part in inner]
    return [f"folders within a class are read as more of its images: {list_names(parts)}"] if parts else []


def _check_same_classes(top: Path, splits: Mapping[str, Folders]) -> None:
    train = set(splits["train"])
    for split, folders in splits.items():
        differences = {f"only in train/: {name}" for name in train - set(folders)}
        differences |= {f"only in {split}/: {name}" for name in set(folders) - train}
        if differences:
            raise DataError(
                f"{top}: train/ and {split}/ must have the same class folders, but differ "
                f"({'; '.join(sorted(differences))})"
            )


def _slashed(names: Iterable[str]) -> str:
    return " and ".join(f"{name}/" for name in names)
