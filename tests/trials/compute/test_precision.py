"""A GPU gets its fast kernels, a CPU keeps what it has."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from convscout.trials.compute.determinism import deterministic_algorithms
from convscout.trials.compute.precision import use_fast_kernels


def flags() -> tuple[str, str, bool]:
    backends = torch.backends
    return backends.cuda.matmul.fp32_precision, backends.cudnn.fp32_precision, backends.cudnn.benchmark


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    matmul, cudnn, benchmark = flags()
    yield
    torch.backends.cuda.matmul.fp32_precision = matmul
    torch.backends.cudnn.fp32_precision = cudnn
    torch.backends.cudnn.benchmark = benchmark


def test_a_cpu_keeps_its_settings() -> None:
    before = flags()
    use_fast_kernels(torch.device("cpu"))
    assert flags() == before


@pytest.mark.parametrize("deterministic", [False, True])
def test_a_gpu_multiplies_in_tf32_and_measures_convolutions_unless_bits_repeat(deterministic: bool) -> None:
    with deterministic_algorithms(deterministic):
        use_fast_kernels(torch.device("cuda"))
        assert flags() == ("tf32", "tf32", not deterministic)
    assert torch.backends.cudnn.conv.fp32_precision == "tf32"
    assert torch.backends.mkldnn.matmul.fp32_precision == "none", "the CPU's stays"
