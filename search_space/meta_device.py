"""Networks without numbers: built and run on the meta device, where a tensor has a shape and nothing else.

Torch by itself can do all that is here, but takes several times as long: it fills weights that do not
exist, and finds many shapes by taking an operation apart into a dozen others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._device import DeviceContext
from torch.utils._python_dispatch import TorchDispatchMode

Arguments = tuple[Any, ...]
Keywords = dict[str, Any]

_FILLS = (Tensor.zero_, Tensor.fill_)
_LOWERED = (F.conv2d, F.linear)
_WIDENED = (F.layer_norm, F.group_norm)


class MetaDevice(DeviceContext):
    """``torch.device("meta")`` as a context, in which initialisers do nothing."""

    def __init__(self) -> None:
        super().__init__(torch.device("meta"))

    def __torch_function__(
        self, func: Any, types: Any, args: Arguments = (), kwargs: Keywords | None = None
    ) -> Any:
        if func in _FILLS or getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else (kwargs or {})["tensor"]
        return super().__torch_function__(func, types, args, kwargs)  # type: ignore[no-untyped-call]


class MetaAutocast(TorchFunctionMode):
    """What ``torch.autocast`` does on a GPU, for the meta device, which it does not know.

    Convolutions and linear layers compute in ``dtype``, norms of single images in float32. A weight is
    converted once a forward pass; the copy lives on for as long as the backward pass needs it.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self._dtype = dtype
        self._copies: dict[Tensor, Tensor] = {}

    def __torch_function__(
        self, func: Any, types: Any, args: Arguments = (), kwargs: Keywords | None = None
    ) -> Any:
        if func in _LOWERED:
            args = tuple(self._lower(value) for value in args)
        elif func in _WIDENED:
            args = (args[0].float(), *args[1:])
        return func(*args, **(kwargs or {}))

    def __exit__(self, *error: Any) -> None:
        self._copies.clear()
        super().__exit__(*error)  # type: ignore[no-untyped-call]  # as above

    def _lower(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        if not isinstance(value, torch.nn.Parameter):
            return value.to(self._dtype)
        if value not in self._copies:
            self._copies[value] = value.to(self._dtype)
        return self._copies[value]


class MetaRun(TorchDispatchMode):  # type: ignore[no-untyped-call]  # as above
    """Runs operations on meta tensors, those on the same shapes through torch only once.

    A subclass sees all but the ones that are in place: ``appraise`` says what is worth knowing of an
    operation, once for the same shapes, and ``ran`` hears it each time.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._known: dict[Any, tuple[Any, Any]] = {}  # by operation and arguments: its results and appraisal

    def appraise(self, func: Any, args: Arguments, kwargs: Keywords, out: Any) -> Any:
        """What to tell ``ran`` of ``func(*args, **kwargs)``, which gave ``out``."""

    def ran(self, appraisal: Any, out: Any) -> None:
        """An operation so appraised gave ``out``."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here, and to keep torch.compile away takes time at each operation

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Arguments = (), kwargs: Keywords | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if _in_place(func):
            return args[0]
        key = func, _outline(args), _outline(tuple(kwargs.items()))
        if (known := self._known.get(key)) is None:
            out = _RULES[func](*args, **kwargs) if func in _RULES else NotImplemented
            out = func(*args, **kwargs) if out is NotImplemented else out
            appraisal = self.appraise(func, args, kwargs, out)
            self._known[key] = _outline(out), appraisal
        else:
            outline, appraisal = known
            out = func(*args, **kwargs) if _aliasing(func) else _tensors(outline)
        self.ran(appraisal, out)
        return out


# operations


@cache
def _aliasing(func: Any) -> bool:
    """Whether results may share memory with arguments, or arguments are written to."""
    return any(each.alias_info for each in (*func._schema.arguments, *func._schema.returns))


@cache
def _in_place(func: Any) -> bool:
    """Whether the first argument is written to and returned with the shape it had."""
    name = func._schema.name.removeprefix("aten::")
    return _aliasing(func) and name.endswith("_") and torch.Tag.inplace_view not in func.tags


# shapes


class _Outline(NamedTuple):
    """What a meta tensor is."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype


def _outline(value: Any) -> Any:
    """``value``, in which outlines stand for meta tensors; can be hashed."""
    if isinstance(value, Tensor):
        return _Outline(value.shape, value.stride(), value.dtype) if value.is_meta else value
    if isinstance(value, list | tuple):
        return tuple(map(_outline, value))
    return value if value is None else (type(value), value)  # 1 and 1.0 are different numbers


def _tensors(value: Any) -> Any:
    """The inverse of ``_outline`` for what operations return: tensors, None, or several of these."""
    if isinstance(value, _Outline):
        return torch.empty_strided(value.shape, value.stride, dtype=value.dtype, device="meta")
    return tuple(map(_tensors, value)) if isinstance(value, tuple) else value


# what comes of which shapes, where torch takes hundreds of microseconds to find out


def _new(like: Tensor) -> Tensor:
    """A dense tensor of the same shape."""
    return torch.empty(like.shape, dtype=like.dtype, device="meta")


def _gradients(tensors: Sequence[Tensor | None], mask: Sequence[bool]) -> Arguments:
    """Gradients of those of ``tensors`` that ``mask`` asks for."""
    return tuple(
        _new(each) if wanted and each is not None else None
        for each, wanted in zip(tensors, mask, strict=True)
    )


def _batch_norm(
    maps: Tensor, weight: Any, bias: Any, mean: Any, variance: Any, training: bool, *_: Any
) -> Arguments:
    """Maps, and of a batch in training the mean and deviation of each channel."""
    channels = maps.shape[1] if training else 0
    mean, deviation = (torch.empty(channels, device="meta") for _ in range(2))
    return _new(maps), mean, deviation


def _batch_norm_backward(gradient: Tensor, maps: Tensor, weight: Tensor | None, *rest: Any) -> Arguments:
    return _gradients((maps, weight, weight), rest[-1])


def _layer_norm(maps: Tensor, normalized: Sequence[int], *_: Any) -> Arguments:
    """Maps, and the mean and deviation of what was normalised together."""
    shape = (*maps.shape[: -len(normalized)], *(1 for _ in normalized))
    mean, deviation = (torch.empty(shape, device="meta") for _ in range(2))
    return _new(maps), mean, deviation


def _layer_norm_backward(gradient: Tensor, maps: Tensor, *rest: Any) -> Arguments:
    *_, weight, bias, mask = rest
    return _gradients((maps, weight, bias), mask)


def _convolution_backward(gradient: Tensor, maps: Tensor, weight: Tensor, *rest: Any) -> Arguments:
    bias = weight[:, 0, 0, 0]
    return _gradients((maps, weight, bias), rest[-1])


def _pointwise(*args: Any, **_: Any) -> Any:
    tensors = [each for each in args if isinstance(each, Tensor)]
    if len(tensors) > 2 and any(each.dtype is not tensors[0].dtype for each in tensors):
        return NotImplemented
    dtype = torch.result_type(*tensors) if len(tensors) == 2 else tensors[0].dtype
    shape = torch.broadcast_shapes(*(each.shape for each in tensors))  # type: ignore[no-untyped-call]
    return torch.empty(shape, dtype=dtype, device="meta")


def _quotient(*args: Any, **_: Any) -> Tensor:
    """Whole numbers, too, are divided into floating-point ones."""
    out: Tensor = _pointwise(*args)
    return out if out.is_floating_point() else torch.empty(out.shape, device="meta")


def _linear(bias: Tensor, features: Tensor, weight: Tensor, **_: Any) -> Tensor:
    return torch.empty(features.shape[0], weight.shape[1], dtype=features.dtype, device="meta")


def _mean(maps: Tensor, dims: Sequence[int], keepdim: bool = False, **_: Any) -> Tensor:
    gone = {dim % maps.ndim for dim in dims}
    shape = [1 if dim in gone else size for dim, size in enumerate(maps.shape) if keepdim or dim not in gone]
    return torch.empty(shape, dtype=maps.dtype, device="meta")


def _concatenate(tensors: Sequence[Tensor], dim: int = 0) -> Any:
    first = tensors[0]
    if any(each.dtype is not first.dtype or each.ndim != first.ndim for each in tensors):
        return NotImplemented
    shape = list(first.shape)
    shape[dim] = sum(each.shape[dim] for each in tensors)
    return torch.empty(shape, dtype=first.dtype, device="meta")


aten = torch.ops.aten
_POINTWISE = (
    aten.add.Tensor, aten.mul.Tensor, aten.threshold_backward.default,
    aten.gelu.default, aten.gelu_backward.default, aten.sigmoid_backward.default,
)  # fmt: skip
_RULES: dict[Any, Callable[..., Any]] = dict.fromkeys(_POINTWISE, _pointwise) | {
    aten.div.Tensor: _quotient,
    aten.div.Scalar: _quotient,
    aten.addmm.default: _linear,
    aten.mean.dim: _mean,
    aten.cat.default: _concatenate,
    aten.native_batch_norm.default: _batch_norm,
    aten.native_batch_norm_backward.default: _batch_norm_backward,
    aten.native_layer_norm.default: _layer_norm,
    aten.native_layer_norm_backward.default: _layer_norm_backward,
    aten.convolution_backward.default: _convolution_backward,
}
