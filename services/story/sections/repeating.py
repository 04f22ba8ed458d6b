"""How to repeat the study: commands, settings, seeds and versions."""

from __future__ import annotations

import platform
from importlib.metadata import version

from services.command_line import search_command
from services.config_file import to_toml
from services.provenance import CODE_NOTE, LIBRARIES, code_version, difference
from services.story.document import Block, Code, Section, Table, Text
from services.story.facts import StudyFacts

_PACKAGES = ("convscout", *LIBRARIES, "optuna", "ray", "mlflow", "numpy", "onnxruntime")


def repeating(known: StudyFacts) -> Section | None:
    """All that one needs to run it again."""
    config = known.config
    code = known.ledger.note(CODE_NOTE) or {}
    changed = difference(code, code_version()) if code else ""
    versions = [[name, version(name)] for name in _PACKAGES]
    versions.append(["python", platform.python_version()])
    told = (
        f"Seed {config.seed}; the seed of trial N is {config.seed} × 1,000,003 + N. With --deterministic a study ends "
        f"in the same bits again; without, threads and time budgets make small differences."
    )
    blocks: list[Block] = [
        Code(search_command(config)),
        Text("The same as a file, for convscout search --config study.toml:"),
        Code(to_toml(config)),
        Text(told),
        Text("Versions on the machine that wrote this:"),
        Table(columns=["package", "version"], rows=versions),
    ]
    if changed:
        blocks.append(Text(f"The code has changed since the study began: {changed}."))
    return Section("To repeat it", blocks)
