"""How long Muon takes to make the matrices of a network orthogonal: ours against torch's, on one thread.

    python -m benchmarks.orthogonalization

torch's computes in bfloat16; each side runs with all instructions of the processor, and with AVX2 alone, where
bfloat16 is emulated.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from benchmarks.common import markdown, write
from benchmarks.sides import Lap, Side, clock, in_turn, running, typical
from convscout.search_space.architecture import ImageSpec, families
from convscout.search_space.orthogonalization import (
    ITERATIONS,
    NEWTON_SCHULZ,
    SMALLEST_NORM,
    orthogonalize,
    orthogonalize_in_bfloat16,
)

IMAGE = ImageSpec(in_channels=3, image_size=32, num_classes=10)
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
NETWORKS = ("speednet", "vgg", "wide_resnet", "resnet", "densenet")


def ours(matrix: Tensor) -> None:
    orthogonalize(matrix)


def theirs(matrix: Tensor) -> None:
    orthogonalize_in_bfloat16(matrix, NEWTON_SCHULZ, ITERATIONS, SMALLEST_NORM)


def lap(method: Callable[[Tensor], None], network: str, steps: int) -> Lap:
    """As many updates of all matrices of ``network``."""
    weights = [each.detach() for each in families.get(network).proven().build(IMAGE).parameters()]
    matrices = [torch.randn_like(each.flatten(1)) for each in weights if each.ndim > 1]

    def work() -> None:
        for _ in range(steps):
            for matrix in matrices:
                method(matrix)

    return lambda: clock(work)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", default=NETWORKS, choices=families.names())
    parser.add_argument("--steps", type=int, default=20, help="updates of a lap (default: 20)")
    parser.add_argument("--repeats", type=int, default=7, help="laps of each side (default: 7)")
    parser.add_argument("--quick", action="store_true", help="one network, two laps of a step")
    asked = parser.parse_args()
    networks = asked.networks[:1] if asked.quick else asked.networks
    steps, repeats = (1, 2) if asked.quick else (asked.steps, asked.repeats)
    results = []
    for network in networks:
        sides = {
            name + where: partial(Side, lap, method, network, steps, threads=1, environment=environment)
            for where, environment in (("", {}), (", AVX2", AVX2))
            for name, method in (("torch", theirs), ("ours", ours))
        }
        with running(sides) as started:
            times = in_turn(started, repeats)
        update_ms = {name: 1e3 * typical(laps).wall_s / steps for name, laps in times.items()}
        results.append({"network": network, "update_ms": update_ms})
    columns = ("network", *results[0]["update_ms"], "faster", "faster, AVX2")
    print("Milliseconds of an update of all matrices\n")
    print(markdown(columns, [_row(result["network"], result["update_ms"]) for result in results]))
    print(f"\n{write('orthogonalization', results, threads=1)}")


def _row(network: str, ms: dict[str, float]) -> list[str]:
    ratios = (ms["torch"] / ms["ours"], ms["torch, AVX2"] / ms["ours, AVX2"])
    return [network, *(f"{each:.1f}" for each in ms.values()), *(f"**{each:.1f}×**" for each in ratios)]


if __name__ == "__main__":
    main()
