"""``--set KNOB=VALUE``, as often as one likes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeAlias

import typer

from convscout.search_space.errors import UserError
from convscout.search_space.knobs import Scalar, read_scalar

SetOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KNOB=VALUE", help="Set a knob, such as resnet.width=32; repeatable."),
]


def overrides(settings: Sequence[str] | None) -> dict[str, Scalar]:
    """The values by full name of a knob. Raises ``UserError`` for what is not ``KNOB=VALUE``."""
    values = {}
    for setting in settings or ():
        name, equals, text = setting.partition("=")
        if not equals:
            raise UserError(f"--set {setting}: must be KNOB=VALUE, such as resnet.width=32")
        values[name.strip()] = read_scalar(text.strip())
    return values
