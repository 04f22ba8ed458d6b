"""Diagram: what a network of any family is made of, part by part, and where its cost lies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from convscout.search_space.architecture import ArchitectureConfig, ImageSpec
from convscout.search_space.classifier import Classifier

LISTS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A part of a network, or several alike in a row.

    ``name`` says where it stands ("stage 1"), ``made_of`` what it is ("2 × Block"). ``output`` is the shape
    of what it puts out for one image, None for a part that only training looks at. ``params`` counts
    trainable numbers, ``flops`` the multiply-adds of one image.
    """

    name: str
    made_of: str
    output: tuple[int, ...] | None
    params: int
    flops: int


def diagram(architecture: ArchitectureConfig, image: ImageSpec) -> list[Row]:
    """The parts of ``architecture`` for ``image``, in the order in which the image meets them.

    Their params and multiply-adds add up to those of the whole. The network is built and run on the meta
    device, so nothing is computed. Raises ``UnbuildableError`` where it cannot be built.
    """
    with torch.device("meta"):
        model = architecture.build(image).eval()
        images = torch.empty(1, image.in_channels, image.image_size, image.image_size)
    run = _Run(model, images)
    order = {module: position for position, module in enumerate(run.outputs)}
    parts = [part for part in _parts(model, run.outputs) if part.made_of]
    parts.sort(key=lambda part: order.get(part.module, len(order)))
    unseen = {parameter for parameter in model.parameters() if parameter.requires_grad}
    rows = []
    for _, group in groupby(parts, key=lambda part: part.alike(run.outputs)):
        alike = list(group)
        params = unseen & {parameter for part in alike for parameter in part.module.parameters()}
        unseen -= params
        first, numbers = alike[0], f"–{_label(alike[-1].path[-1:])}" if len(alike) > 1 else ""
        row = Row(
            name=_label(first.path) + numbers,
            made_of=_times(len(alike), first.made_of),
            output=run.outputs.get(first.module),
            params=sum(parameter.numel() for parameter in params),
            flops=sum(run.flops[part.module] for part in alike),
        )
        rows.append(row)
    own = Row(
        name="itself",
        made_of=type(model).__name__,
        output=run.outputs[model],
        params=sum(parameter.numel() for parameter in unseen),
        flops=run.flops[model] - sum(row.flops for row in rows),
    )
    return [*rows, own] if own.params or own.flops else rows


class _Run:
    """One watched forward pass: what each module put out, in the order they ended, and its multiply-adds."""

    def __init__(self, model: Classifier, images: Tensor) -> None:
        self.outputs: dict[nn.Module, tuple[int, ...]] = {}
        self.flops: Counter[nn.Module] = Counter()
        self._begun: list[int] = []  # multiply-adds before each module that is being run
        self._counter = FlopCounterMode(display=False)
        for module in model.modules():
            module.register_forward_pre_hook(self._begin)
            module.register_forward_hook(self._end)
        with torch.no_grad(), self._counter:
            model(images)

    def _begin(self, _module: nn.Module, _inputs: Any) -> None:
        self._begun.append(self._counter.get_total_flops() // 2)  # the papers count a multiply-add once

    def _end(self, module: nn.Module, _inputs: Any, output: Any) -> None:
        self.outputs[module] = tuple(output.shape[1:]) if isinstance(output, Tensor) else ()
        self.flops[module] += self._counter.get_total_flops() // 2 - self._begun.pop()


@dataclass(frozen=True)
class _Part:
    """A module that gets a row, and its attributes' names from the network down to it."""

    path: tuple[str, ...]
    module: nn.Module

    @property
    def made_of(self) -> str:
        """The module's class, or what is in it where the class says little; empty for what does nothing."""
        children = dict(self.module.named_children())
        anonymous = isinstance(self.module, LISTS) and all(name.isdigit() for name in children)
        if anonymous and any(_is_block(child) for child in children.values()):
            return _contents(self.module)
        return _kind(self.module)

    def alike(self, outputs: dict[nn.Module, tuple[int, ...]]) -> tuple[Any, ...]:
        """Equal for numbered blocks of one class and one output."""
        *parents, last = self.path
        if last.isdigit() and self.made_of == type(self.module).__name__:
            return *parents, self.made_of, outputs.get(self.module)
        return self.path


def _parts(
    module: nn.Module, outputs: dict[nn.Module, tuple[int, ...]], path: tuple[str, ...] = ()
) -> Iterator[_Part]:
    """The children of the network; of those that are but lists of stages, their children.

    A list is a plain ``nn.Sequential`` of several blocks, or anything that is passed through and never called.
    """
    for name, child in module.named_children():
        here = (*path, name)
        blocks = [part for part in child.children() if _is_block(part)]
        stages = not path and type(child) is nn.Sequential and len(blocks) > 1
        if stages or (child not in outputs and any(inner in outputs for inner in child.modules())):
            yield from _parts(child, outputs, here)
        else:
            yield _Part(here, child)


def _is_block(module: nn.Module) -> bool:
    return any(True for _ in module.children())


def _kind(module: nn.Module) -> str:
    if isinstance(module, nn.Identity):
        return ""
    return _contents(module) if type(module) in LISTS else type(module).__name__


def _contents(module: nn.Module) -> str:
    """What the children are, with those of one kind in a row counted: ``2 × ConvNormAct, MaxPool2d``."""
    kinds = [kind for child in module.children() if (kind := _kind(child))]
    return ", ".join(_times(len(list(alike)), kind) for kind, alike in groupby(kinds))


def _times(count: int, kind: str) -> str:
    if count == 1:
        return kind
    return f"{count} × ({kind})" if ", " in kind else f"{count} × {kind}"


def _label(path: Sequence[str]) -> str:
    """How people name a part: ``("stages", "0")`` is ``stage 1``."""
    words: list[str] = []
    for name in path:
        if name.isdigit() and words:
            words[-1] = words[-1].removesuffix("s")
        words.append(str(int(name) + 1) if name.isdigit() else name)
    return " ".join(words)
