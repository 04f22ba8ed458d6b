"""How to repeat the study: commands, settings, seeds and versions."""

from __future__ import annotations

import platform
from importlib.metadata import version

from convscout.services.config.command_line import search_command
from convscout.services.config.toml import to_toml
from convscout.services.ledger.provenance import CODE_NOTE, LIBRARIES, code_version, difference
from convscout.services.report.document import Block, Code, Section, Table, Text
from convscout.services.report.facts import StudyFacts
from convscout.trials.compute.seeding import STRIDE

_PACKAGES = ("convscout", *LIBRARIES, "optuna", "ray", "mlflow", "numpy", "onnxruntime")


def repeating(known: StudyFacts) -> Section | None:
    """All that one needs to run it again."""
    config = known.config
    code = known.ledger.note(CODE_NOTE) or {}
    changed = difference(code, code_version()) if code else ""
    versions = [[name, version(name)] for name in _PACKAGES]
    versions.append(["python", platform.python_version()])
    text = (
        f"Seed {config.seed}; the seed of trial N is {config.seed} × {STRIDE:,} + N. With --deterministic a study ends "
        f"in the same bits again; without, threads and time budgets make small differences."
    )
    blocks: list[Block] = [
        Code(search_command(config)),
        Text("The same as a file, for convscout search --config study.toml:"),
        Code(to_toml(config)),
        Text(text),
        Text("Versions on the machine that wrote this:"),
        Table(columns=["package", "version"], rows=versions),
    ]
    if changed:
        blocks.append(Text(f"The code has changed since the study began: {changed}."))
    return Section("To repeat it", blocks)
