"""Looking at the architecture families, on this machine: families, families show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, TypeAlias

from convscout.search_space.architecture import ArchitectureConfig, ImageSpec
from convscout.search_space.architecture import families as registry
from convscout.search_space.complexity import Complexity
from convscout.search_space.complexity_meter import measure
from convscout.search_space.diagram import Row, diagram
from convscout.search_space.errors import UnbuildableError, UnknownNameError, UserError
from convscout.search_space.knobs import Knob, Scalar
from convscout.search_space.recipe import TrainingRecipe
from convscout.services.cli.local.space import describe_knobs, print_knobs
from convscout.services.cli.output import print_json, print_line, print_table, print_text
from convscout.services.config.documentation import about, documentation_of
from convscout.services.config.units import format_combinations, format_count

HOMES = {"32 × 32, 10 classes": (32, 10), "224 × 224, 1000 classes": (224, 1000)}
_Costs: TypeAlias = Mapping[str, Mapping[str, Complexity | None]]
"""What each published variant costs at each home; None where it cannot be built."""


def families(*, json: bool) -> None:
    """List the architecture families there are."""
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


def show(
    name: str,
    *,
    variant: str | None,
    settings: Sequence[str],
    image_size: int,
    channels: int,
    classes: int,
    json: bool,
) -> None:
    """Show one family: a diagram of its network, its knobs, and what its published variants cost."""
    family = registry.get(name)
    config = family.published(variant) if variant else family()
    config = replace(config, **_parse_assignments(family, settings))
    image = ImageSpec(in_channels=channels, image_size=image_size, num_classes=classes)
    rows, costs = diagram(config, image), _variant_costs(family)
    if json:
        print_json(_describe(config, image, rows, costs))
        return
    print_text("\n".join(documentation_of(family).splitlines()[:2]))
    print_line("")
    changes = f" with {', '.join(settings)}" if settings else ""
    print_line(f"{variant or 'default configuration'}{changes}, for {classes} classes:")
    _print_diagram(rows, image_shape=(channels, image_size, image_size))
    print_line("")
    _print_space(family)
    if costs:
        print_line("")
        _print_costs(costs)


def _describe(
    config: ArchitectureConfig, image: ImageSpec, rows: Sequence[Row], costs: _Costs
) -> dict[str, Any]:
    """All about the family of ``config``, for programs."""
    family = type(config)
    variants = [
        {
            "name": variant,
            "cost": {
                home: cost and {"params": cost.params, "flops": cost.flops} for home, cost in homes.items()
            },
        }
        for variant, homes in costs.items()
    ]
    return {
        "name": family.name,
        "searched": family.searched,
        "about": documentation_of(family),
        "config": config.to_dict(),
        "image": asdict(image),
        "diagram": [asdict(row) for row in rows],
        "knobs": describe_knobs(_named_knobs(family)),
        "size": asdict(family.space_size()),
        "variants": variants,
    }


def _named_knobs(family: type[ArchitectureConfig]) -> dict[str, Knob]:
    """The knobs of ``family`` by full name, such as ``resnet.width``."""
    return {f"{family.name}.{field}": knob for field, knob in family.knobs().items()}


def _parse_assignments(family: type[ArchitectureConfig], settings: Sequence[str]) -> dict[str, Scalar]:
    """The values by field name that ``--set`` gave, as ``resnet.width=32``. Raises ``UserError``."""
    knobs = _named_knobs(family)
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


def _variant_costs(family: type[ArchitectureConfig]) -> _Costs:
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


def _print_space(family: type[ArchitectureConfig]) -> None:
    """The knobs of ``family``, and how many combinations of them there are."""
    print_knobs(_named_knobs(family), unsearched=True)
    size = family.space_size()
    continuous = f", each with up to {size.continuous} continuous ones" if size.continuous else ""
    print_line(f"combinations of these knobs: {format_combinations(size.discrete)}{continuous}")


def _print_costs(costs: _Costs) -> None:
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
