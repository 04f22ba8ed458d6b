"""The machine that computes, as a person would name it."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path

import torch

WITHOUT_BFLOAT16 = (
    "SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI",
)  # fmt: skip
"""oneDNN's names of instruction sets that do not multiply matrices of bfloat16; AVX2_VNNI_2 only converts it."""


@cache
def cpu_name() -> str:
    """The model of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor())


def instruction_set() -> str:
    """The instructions that torch computes with, as in "AVX512", where the environment may name less than there is.

    ``ATEN_CPU_CAPABILITY`` is for torch's own kernels, ``ONEDNN_MAX_CPU_ISA`` for convolutions.
    """
    capability, limit = _capability(), _onednn_limit()
    return f"{capability}, convolutions at most {limit}" if limit else capability


def has_native_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 in hardware, and torch is allowed to let it."""
    present = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return present and _capability() == "AVX512" and _onednn_limit() not in WITHOUT_BFLOAT16


def _capability() -> str:
    return torch.backends.cpu.get_cpu_capability()


def _onednn_limit() -> str:
    """The largest instruction set that oneDNN may use, in its own words; empty where it may use all."""
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or ""
    return "" if limit.upper() in ("ALL", "DEFAULT") else limit.upper()
