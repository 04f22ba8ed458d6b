"""What the source keeps to beside the contracts of imports: a reason for what is imported late, one meaning a name."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
MOST_LATE_IMPORTS = 40
COPIED = "services/export/champion_model.py"  # into exports, where nothing of convscout is


def modules() -> Iterator[tuple[str, str]]:
    for room in ("search_space", "trials", "services", "convscout/testing"):
        for path in sorted((ROOT / room).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def late_imports(source: str) -> set[tuple[int, int]]:
    """First and last line of each import within a function."""
    functions = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return {
        (node.lineno, node.end_lineno or node.lineno)
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }


def has_reason(lines: list[str], first: int, last: int, late: set[tuple[int, int]]) -> bool:
    """Whether a comment is on the lines ``first`` to ``last``, above them, or above late imports that they follow."""
    if any("#" in line for line in lines[first - 1 : last]) or lines[first - 2].lstrip().startswith("#"):
        return True
    return any(has_reason(lines, start, end, late) for start, end in late if end == first - 1)


def test_what_is_imported_late_says_why() -> None:
    count, silent = 0, list[str]()
    for path, source in modules():
        late, lines = late_imports(source), source.splitlines()
        count += len(late)
        silent += [f"{path}:{first}" for first, last in late if not has_reason(lines, first, last, late)]
    assert not silent
    assert count <= MOST_LATE_IMPORTS


def test_a_class_name_is_defined_once() -> None:
    places = defaultdict(list)
    for path, source in modules():
        if path != COPIED:
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.ClassDef):
                    places[node.name].append(f"{path}:{node.lineno}")
    assert not {name: where for name, where in places.items() if len(where) > 1}


def test_no_module_lies_at_the_root_of_a_floor() -> None:
    assert {path.name for path in (ROOT / "services").glob("*.py")} == {"__init__.py", "plugins.py"}
    assert {path.name for path in (ROOT / "trials").glob("*.py")} == {
        "__init__.py",
        "config.py",
        "end_reason.py",
    }
