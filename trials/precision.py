"""Which device, number format and memory layout a trial computes in."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from search_space.errors import ConfigError, Problem

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
LAYOUTS = {"channels-last": torch.channels_last, "channels-first": torch.contiguous_format}


@dataclass(frozen=True)
class Precision:
    """A device, and the format and layout of its convolutions; losses and norm statistics stay in float32."""

    device: torch.device
    dtype: torch.dtype
    layout: torch.memory_format = torch.channels_last

    @classmethod
    def named(cls, name: str, device: torch.device) -> Self:
        """The inverse of ``name``; raises ``KeyError`` or ``ValueError`` for what is none."""
        dtype, layout = name.split(" ")
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
    """The format called ``name``; "auto" takes bfloat16 where the device computes it natively."""
    if name == "auto":
        name = "bfloat16" if _native_bfloat16(device) else "float32"
    return Precision(device, DTYPES[name])


def _native_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # emulated bfloat16 is slower than float32, so the instructions themselves must be there
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
