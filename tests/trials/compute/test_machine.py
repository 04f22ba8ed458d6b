"""What the processor can do is what torch will let it do: a newer one can be told to compute as an older one."""

from __future__ import annotations

import pytest
import torch

from convscout.trials.compute.machine import has_native_bfloat16, instruction_set
from convscout.trials.compute.precision import choose_precision

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _the_newest_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the test runs, and whatever it was told."""
    for variable in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)


def test_the_newest_processor_computes_in_bfloat16() -> None:
    assert has_native_bfloat16()
    assert instruction_set() == "AVX512"
    assert choose_precision("auto", CPU).dtype is torch.bfloat16


def test_one_without_the_instructions_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert not has_native_bfloat16()


@pytest.mark.parametrize("variable", ["ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"])
@pytest.mark.parametrize("limit", ["AVX2", "avx2", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI"])
def test_nor_does_one_whose_convolutions_may_not(
    variable: str, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, limit)
    assert not has_native_bfloat16()
    assert instruction_set() == f"AVX512, convolutions at most {limit.upper()}"
    assert choose_precision("auto", CPU).dtype is torch.float32


@pytest.mark.parametrize(
    "limit", ["AVX512_CORE_BF16", "AVX512_CORE_AMX_FP16", "AVX10_1_512", "ALL", "default"]
)
def test_a_limit_that_leaves_bfloat16_is_none(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    assert has_native_bfloat16()


def test_nor_does_one_whose_torch_was_told_to_be_older(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert not has_native_bfloat16()
    assert instruction_set() == "AVX2"


def test_what_onednn_reads_first_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "ALL")
    monkeypatch.setenv("DNNL_MAX_CPU_ISA", "AVX2")
    assert has_native_bfloat16()
