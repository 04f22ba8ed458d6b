"""Names of classes, as they come from outside: shown in pages, in MLflow and in terminals, so they are plain text."""

from __future__ import annotations

from convscout.search_space.errors import DataError

_LONGEST = 100  # characters


def check_class_name(name: str) -> None:
    """Raise ``DataError`` for a name that looks like markup or an option, or cannot be printed."""
    if not name or len(name) > _LONGEST:
        raise DataError(f"the name of a class must have 1 to {_LONGEST} characters, but got {name[:120]!r}")
    if not name.isprintable() or set(name) & set("<>") or name != name.strip() or name.startswith("-"):
        raise DataError(
            f"the name of a class must be printable text without < and >, and begin with no dash or space, "
            f"but got {name!r}"
        )
