"""Which device and number format a trial computes in."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from search_space.errors import ConfigError, Problem


@dataclass(frozen=True)
class Precision:
    """A device and the format of its convolutions; losses and norm statistics stay in float32."""

    device: torch.device
    dtype: torch.dtype

    def autocast(self) -> AbstractContextManager[None]:
        """Context in which matrix work runs in ``dtype``."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not torch.float32)


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
    return Precision(device, {"float32": torch.float32, "bfloat16": torch.bfloat16}[name])


def _native_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # emulated bfloat16 is slower than float32, so the instructions themselves must be there
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
