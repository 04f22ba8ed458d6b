"""DataPaths: which files of this machine a study may read that is started through the service."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from convscout.search_space.errors import ConfigError, Problem

DATA, DATA_DIR = "study.data", "data.data_dir"
_HINT = "start the service with convscout serve --data-root DIR to allow another"


class DataPaths:
    """What lies under ``roots`` may be read, and what lies in a visible directory of ``uploads``."""

    def __init__(self, roots: Sequence[Path], uploads: Path) -> None:
        self.roots = tuple(Path(root).expanduser().absolute() for root in roots)
        self._uploads = uploads

    def readable(self, location: str, value: str) -> Path:
        """The real path of ``location``, links followed. Raises ``ConfigError`` for ``value`` if it lies elsewhere.

        Whether something exists elsewhere, the error does not tell.
        """
        path = _real(location)
        if path is None or not (self._under_roots(path) or self._uploaded(path)):
            raise self._refusal(DATA, value, "must be a dataset that the service knows, or lie under")
        if not path.exists():
            raise ConfigError([Problem(field=DATA, value=value, rule="must exist")])
        return path

    def check_data_dir(self, data_dir: str | Path | None) -> None:
        """Raise ``ConfigError`` unless downloads may be looked for, and written, in ``data_dir``."""
        if data_dir is None:
            return
        path = _real(str(data_dir))
        if path is None or not self._under_roots(path):
            raise self._refusal(DATA_DIR, str(data_dir), "must be left out, or lie under")

    def holds(self, root: Path, path: Path) -> bool:
        """Whether ``path`` truly lies under ``root``."""
        real, top = _real(str(path)), _real(str(root))
        return real is not None and top is not None and real.is_relative_to(top)

    def _under_roots(self, path: Path) -> bool:
        return any(top is not None and path.is_relative_to(top) for top in map(_real, map(str, self.roots)))

    def _uploaded(self, path: Path) -> bool:
        top = _real(str(self._uploads))
        if top is None or path == top or not path.is_relative_to(top):
            return False
        return not path.relative_to(top).parts[0].startswith(".")

    def _refusal(self, field: str, value: str, rule: str) -> ConfigError:
        known = ", ".join(map(str, self.roots)) or "a data root, of which there is none yet"
        return ConfigError([Problem(field=field, value=value, rule=f"{rule} {known}; {_HINT}")])


def _real(location: str) -> Path | None:
    """The path that ``location`` leads to, or None where it leads nowhere: a loop, or no path at all."""
    try:
        return Path(location).expanduser().absolute().resolve()
    except (OSError, RuntimeError, ValueError):
        return None
