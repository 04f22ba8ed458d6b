"""Which device, number format and memory layout a trial computes in."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from convscout.search_space.errors import ConfigError, Problem
from convscout.trials.compute.machine import has_native_bfloat16

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
LAYOUTS = {"channels-last": torch.channels_last, "channels-first": torch.contiguous_format}


@dataclass(frozen=True)
class Precision:
    """A device, and the format and layout of its convolutions; losses and norm statistics stay in float32."""

    device: torch.device
    dtype: torch.dtype
    layout: torch.memory_format = torch.channels_last

    @classmethod
    def from_name(cls, name: str, device: torch.device) -> Self:
        """The inverse of ``name``; raises ``KeyError`` or ``ValueError`` for what is none on ``device``."""
        dtype, layout = name.split(" ")
        if dtype not in _names(device):
            raise ValueError(f"{dtype} is not for {device}")
        return cls(device, DTYPES[dtype], LAYOUTS[layout])

    @property
    def name(self) -> str:
        """Format and layout for a person, as in "bfloat16 channels-last"."""
        dtypes, layouts = ({value: key for key, value in names.items()} for names in (DTYPES, LAYOUTS))
        return f"{dtypes[self.dtype]} {layouts[self.layout]}"

    def autocast(self) -> AbstractContextManager[None]:
        """Context in which matrix work runs in ``dtype``."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not torch.float32)

    def lay_out(self, images: Tensor) -> Tensor:
        """``images`` (N, C, H, W), unchanged but in ``layout``."""
        return images.contiguous(memory_format=self.layout)


def choose_device(name: str) -> torch.device:
    """The device called ``name``; "auto" takes a GPU where there is one.

    Raises ``ConfigError`` for a device this machine does not have.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        rule = "must be 'cpu' or 'auto' on this machine, where torch finds no GPU (see `convscout doctor`)"
        raise ConfigError([Problem(field="device", value=name, rule=rule)])
    return torch.device(name)


def choose_precision(name: str, device: torch.device) -> Precision:
    """The format called ``name``; "auto" takes bfloat16 where the device computes it natively.

    Raises ``ConfigError`` for float16 on a CPU, which has no fast instructions for it.
    """
    if name == "auto":
        name = "bfloat16" if _native_bfloat16(device) else "float32"
    if name not in _names(device):
        rule = f"must be one of auto, {', '.join(_names(device))} where trials train on the CPU"
        raise ConfigError([Problem(field="precision", value=name, rule=rule)])
    return Precision(device, DTYPES[name])


def formats_to_try(device: torch.device) -> list[torch.dtype]:
    """The formats that may be the fastest, the simplest first.

    float16 is one on a GPU that emulates bfloat16 (V100, T4). Where both are native they take the same
    time, and float16, whose gradients need a ``LossScale``, has nothing to offer.
    """
    old = device.type == "cuda" and not _native_bfloat16(device)
    return [torch.float32, torch.float16 if old else torch.bfloat16]


def use_fast_kernels(device: torch.device) -> None:
    """Let a GPU multiply float32 in TF32, and measure which convolutions are fastest unless bits are to repeat.

    TF32 rounds factors to ten bits, three more than bfloat16 has, and leaves sums in float32.
    """
    if device.type == "cuda":
        torch.backends.cuda.matmul.fp32_precision = "tf32"
        torch.backends.cudnn.fp32_precision = "tf32"
        torch.backends.cudnn.benchmark = not torch.are_deterministic_algorithms_enabled()


def _names(device: torch.device) -> list[str]:
    """The formats that can be named for ``device``."""
    return [name for name in DTYPES if name != "float16" or device.type == "cuda"]


def _native_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return has_native_bfloat16()  # emulated, it is slower than float32
