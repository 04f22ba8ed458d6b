"""Complexity: what a candidate costs, computed from its config on the meta device, without training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from search_space.architecture import ArchitectureConfig, Classifier, ImageSpec

PROBE = 2  # images in the probing batch: batch norm cannot train on one
STATE_COPIES = 4  # weights, gradients and two moments, all in float32


@dataclass(frozen=True, kw_only=True)
class Complexity:
    """Cost of one network.

    ``params`` counts trainable numbers; ``flops`` multiply-adds of one image's forward pass;
    ``activations`` the numbers that convolutions and linear layers put out for one image;
    ``peak_train_bytes`` the estimated memory of one training step at the batch size asked for.
    """

    params: int
    flops: int
    activations: int
    peak_train_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of ``to_dict``."""
        return cls(**values)


def measure(
    architecture: ArchitectureConfig, image: ImageSpec, *, batch_size: int, precision: str = "float32"
) -> Complexity:
    """What ``architecture`` costs for ``image``. Raises ``UnbuildableError`` where it cannot be built.

    ``flops`` follow the papers: one multiply-add counts once, so they are half of what
    ``torch.utils.flop_counter`` counts, and norms, activations and poolings count nothing. Memory is
    that of the weights, gradients and AdamW's two moments, plus what the backward pass needs of the
    forward pass: two bytes a number where ``precision`` is "bfloat16", else four. Workspaces of
    kernels and the allocator's losses are not in it.
    """
    with torch.device("meta"):
        model = architecture.build(image)
        images = torch.empty(PROBE, image.in_channels, image.image_size, image.image_size)
    params = sum(p.numel() for p in model.parameters() if p.requires_grad)
    meter = _Meter()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    saved = _SavedBytes(model, float_bytes=2 if precision == "bfloat16" else 4)
    with meter, saved_tensors_hooks(saved.pack, lambda tensor: tensor):
        model(images)
    return Complexity(
        params=params,
        flops=meter.flops // (2 * PROBE),
        activations=meter.activations // PROBE,
        peak_train_bytes=4 * STATE_COPIES * params + batch_size * (saved.total() // PROBE),
    )


class _Meter(TorchDispatchMode):  # type: ignore[no-untyped-call]  # as above
    """Adds up multiplications, additions and outputs of every matrix operation that runs inside it."""

    flops = 0
    activations = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        count: Callable[..., int] | None = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.flops += count(*args, **(kwargs or {}), out_val=out)
            self.activations += out.numel()
        return out


class _SavedBytes:
    """Adds up what autograd keeps for the backward pass: shared memory once, weights not at all."""

    def __init__(self, model: Classifier, *, float_bytes: int) -> None:
        self._float_bytes = float_bytes
        self._weights = {_memory(tensor) for tensor in model.state_dict().values()}
        self._kept: dict[int, Tensor] = {}  # holding them keeps their addresses from being used again

    def pack(self, tensor: Tensor) -> Tensor:
        self._kept[_memory(tensor)] = tensor
        return tensor

    def total(self) -> int:
        return sum(self._size(tensor) for memory, tensor in self._kept.items() if memory not in self._weights)

    def _size(self, tensor: Tensor) -> int:
        width = tensor.element_size()  # poolings keep integers, whatever the precision
        return (
            tensor.untyped_storage().nbytes()
            // width
            * (self._float_bytes if tensor.is_floating_point() else width)
        )


def _memory(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
