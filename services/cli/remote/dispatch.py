"""Routing: with ``--server URL`` a command is done by its twin, which asks a service instead of the disk."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from convscout.search_space.errors import ConfigError, Problem

PANEL = "Service"
_PLACES = {"home", "storage"}  # whoever says one of these means this machine

Server: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--server",
        envvar="CONVSCOUT_SERVER",
        metavar="URL",
        help="Have a service of convscout do it, such as http://127.0.0.1:8765.",
        rich_help_panel=PANEL,
    ),
]
TokenFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        help="File of the service's token; else CONVSCOUT_TOKEN, or that of a service of this home.",
        rich_help_panel=PANEL,
    ),
]
Insecure: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--insecure",
        help="Send the token to another machine although http lets others read it.",
        rich_help_panel=PANEL,
    ),
]
_OWN = {"server": (Server, None), "token_file": (TokenFile, None), "insecure": (Insecure, False)}


def run_on_server(twin: Callable[..., None]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let ``twin`` do the command when ``--server`` is given: it gets a ``Client`` and the options that it names.

    Options that only one of both has are refused where the other does it. ``--home`` and ``--storage`` win over the
    variable CONVSCOUT_SERVER, as what a person types wins over the environment.
    """
    theirs = {each.name: each for each in _parameters(twin) if each.name != "client"}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = {each.name: each for each in _parameters(command)}

        @functools.wraps(command)
        def adapter(context: typer.Context, **values: Any) -> None:
            service = {name: values.pop(name) for name in _OWN}
            values["context"] = context
            given = _given_options(context)
            if service["server"] and ("server" in given or not given & _PLACES):
                _refuse(
                    given & (own.keys() - theirs.keys()), "cannot be given with --server or CONVSCOUT_SERVER"
                )
                from convscout.services.client import Client  # httpx, which takes a while to import

                with Client(service.pop("server"), **service) as client:
                    twin(client, **{name: values[name] for name in theirs})
                return
            alone = theirs.keys() - own.keys() | {"token_file", "insecure"}
            _refuse(given & alone, "needs a service to ask: give --server URL too")
            command(**{name: values[name] for name in own})

        parts = {**theirs, **own, **{name: _parameter(name, *each) for name, each in _OWN.items()}}
        context = _parameter("context", typer.Context, inspect.Parameter.empty)
        order = [*own, *(name for name in parts if name not in own)]
        adapter.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [context, *(parts[name] for name in order if name != "context")]
        )
        return adapter

    return decorate


def _parameters(command: Callable[..., None]) -> list[inspect.Parameter]:
    later = {"Client": object}  # which takes a while to import
    signature = inspect.signature(command, eval_str=True, locals=later)
    return [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in signature.parameters.values()]


def _parameter(name: str, annotation: Any, default: object) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


def _given_options(context: typer.Context) -> set[str]:
    """The names of what was typed, rather than left out or in the environment."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if source and source.name == "COMMANDLINE"}


def _refuse(given: Collection[str], rule: str) -> None:
    """Raise ``ConfigError`` for options that do not belong where the command is done."""
    if given:
        names = sorted(name.replace("_", "-") for name in given)
        raise ConfigError([Problem(field=f"--{name}", value="given", rule=rule) for name in names])
