"""Looking at the architecture families: families, families show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.options import JsonOption
from services.cli.output import print_json, print_line, print_table, print_text
from services.cli.overrides import SetOption
from services.cli.space import PANEL, describe_knobs, print_knobs
from services.documentation import about, documentation_of
from services.units import format_combinations, format_count

if TYPE_CHECKING:
    from search_space.architecture import ArchitectureConfig
    from search_space.complexity import Complexity
    from search_space.diagram import Row
    from search_space.knobs import Knob, Scalar

HOMES = {"32 × 32, 10 classes": (32, 10), "224 × 224, 1000 classes": (224, 1000)}
group = typer.Typer(pretty_exceptions_enable=False)


def add_to(app: typer.Typer) -> None:
    """Make the commands of this file known."""
    app.add_typer(group, name="families", rich_help_panel=PANEL)


@group.callback(invoke_without_command=True)
def families(context: typer.Context, json: JsonOption = False) -> None:
    """List the architecture families there are, or show one.

    Example: convscout families show resnet
    """
    if context.invoked_subcommand is not None:
        return
    from search_space.architecture import families as registry

    found = [
        {
            "name": name,
            "searched": family.searched,
            "about": about(family),
            "knobs": list(family.knobs()),
            "variants": list(family.variants),
        }
        for name, family in registry.items()
    ]
    broken = [{"name": name, "error": error} for name, error in registry.broken.items()]
    if json:
        print_json({"families": found, "broken": broken})
        return
    rows = [
        [str(each["name"]), "yes" if each["searched"] else "when named", str(each["about"])] for each in found
    ]
    print_table(
        ["family", "searched", "about"],
        [*rows, *([each["name"], "broken", each["error"]] for each in broken)],
    )


@group.command("show")
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the family.")],
    variant: Annotated[
        str | None, typer.Option(metavar="NAME", help="A published variant; else the default configuration.")
    ] = None,
    settings: SetOption = None,
    image_size: Annotated[int, typer.Option(min=1, metavar="N", help="Side of the images in pixels.")] = 32,
    channels: Annotated[int, typer.Option(min=1, metavar="N", help="Channels of the images.")] = 3,
    classes: Annotated[int, typer.Option(min=2, metavar="N", help="Classes to tell apart.")] = 10,
    json: JsonOption = False,
) -> None:
    """Show one family: a diagram of its network, its knobs, and what its published variants cost.

    Example: convscout families show resnet --variant resnet18 --image-size 224
    """
    from search_space.architecture import ImageSpec
    from search_space.architecture import families as registry
    from search_space.diagram import diagram

    family = registry.get(name)
    config = family.published(variant) if variant else family()
    config = replace(config, **_set_values(family, settings or []))
    image = ImageSpec(in_channels=channels, image_size=image_size, num_classes=classes)
    rows, costs, size = diagram(config, image), _variant_costs(family), family.space_size()
    knobs = {f"{name}.{field}": knob for field, knob in family.knobs().items()}
    if json:
        shown = {
            "name": name,
            "searched": family.searched,
            "about": documentation_of(family),
            "config": config.to_dict(),
            "image": asdict(image),
            "diagram": [asdict(row) for row in rows],
            "knobs": describe_knobs(knobs),
            "size": asdict(size),
            "variants": [
                {
                    "name": each,
                    "cost": {
                        home: cost and {"params": cost.params, "flops": cost.flops}
                        for home, cost in homes.items()
                    },
                }
                for each, homes in costs.items()
            ],
        }
        print_json(shown)
        return
    print_text("\n".join(documentation_of(family).splitlines()[:2]))
    print_line("")
    changes = f" with {', '.join(settings)}" if settings else ""
    print_line(f"{variant or 'default configuration'}{changes}, for {classes} classes:")
    _print_diagram(rows, image_shape=(channels, image_size, image_size))
    print_line("")
    print_knobs(knobs, unsearched=True)
    continuous = f", each with up to {size.continuous} continuous ones" if size.continuous else ""
    print_line(f"combinations of these knobs: {format_combinations(size.discrete)}{continuous}")
    if costs:
        print_line("")
        _print_costs(costs)


def _set_values(family: type[ArchitectureConfig], settings: Sequence[str]) -> dict[str, Scalar]:
    """The values by field name that ``--set`` gave, as ``resnet.width=32``. Raises ``UserError``."""
    from search_space.errors import UnknownNameError, UserError

    knobs = {f"{family.name}.{field}": knob for field, knob in family.knobs().items()}
    values: dict[str, Scalar] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise UserError(f"--set {setting}: must be KNOB=VALUE, such as {next(iter(knobs))}=…")
        if name not in knobs:
            raise UnknownNameError.among("knob", name, tuple(knobs))
        values[name.removeprefix(f"{family.name}.")] = _read(text, knobs[name])
    return values


def _read(text: str, knob: Knob) -> Scalar:
    """The value of ``knob`` that ``text`` spells; ``text`` itself, which the knob will refuse, if there is none."""
    options: Sequence[Scalar] = getattr(knob, "legal", ())
    for option in options:
        if str(option).lower() == text.lower():
            return option
    for kind in () if options else (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _variant_costs(family: type[ArchitectureConfig]) -> dict[str, dict[str, Complexity | None]]:
    """What each published variant costs at each home; None where it cannot be built."""
    from search_space.architecture import ImageSpec
    from search_space.complexity import measure
    from search_space.errors import UnbuildableError
    from search_space.recipe import TrainingRecipe

    costs: dict[str, dict[str, Complexity | None]] = {}
    for variant in family.variants:
        for home, (side, classes) in HOMES.items():
            image = ImageSpec(in_channels=3, image_size=side, num_classes=classes)
            recipe = TrainingRecipe.proven_for(image, epochs=1, precision="float32", overrides={})
            try:
                cost = measure(family.published(variant), recipe, image)
            except UnbuildableError:
                cost = None
            costs.setdefault(variant, {})[home] = cost
    return costs


def _print_diagram(rows: Sequence[Row], *, image_shape: tuple[int, ...]) -> None:
    params, flops = sum(row.params for row in rows), sum(row.flops for row in rows)
    lines = [["image", "", _shape(image_shape), "", "", ""]]
    for row in rows:
        share = f"{row.flops / flops:.0%}" if flops else ""
        costs = [format_count(row.params), format_count(row.flops), share]
        lines.append([row.name, row.made_of, _shape(row.output), *costs])
    lines.append(["in all", "", "", format_count(params), format_count(flops), ""])
    numbers = ["output", "params", "multiply-adds", "share"]
    print_table(["part", "made of", *numbers], lines, right=numbers)


def _shape(shape: tuple[int, ...] | None) -> str:
    return "training only" if shape is None else " × ".join(map(str, shape))


def _print_costs(costs: dict[str, dict[str, Complexity | None]]) -> None:
    rows = [
        [
            variant,
            *(
                f"{format_count(cost.params)} / {format_count(cost.flops)}" if cost else "cannot be built"
                for cost in homes.values()
            ),
        ]
        for variant, homes in costs.items()
    ]
    print_line("published variants: params / multiply-adds for images of")
    print_table(["variant", *HOMES], rows, right=tuple(HOMES))
