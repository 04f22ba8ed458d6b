"""Where the time of an epoch goes, by torch's profiler over the real training loop.

python -m benchmarks.profile_epoch
python -m benchmarks.profile_epoch --networks lenet --proven

Shares are of the epoch's wall time, validation included under its own operations. "python" is what is left when no
operation runs; profiling itself swells it, so the table says by how much the epoch was slowed down.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile, record_function

from benchmarks.common import markdown, write
from benchmarks.sides import clock
from benchmarks.workloads import BATCH_SIZE, Prepared, Workload, add_options, parsed
from convscout.search_space.augmentation import Augmentation
from convscout.trials.config import Measurement
from convscout.trials.data.batches import Batches
from convscout.trials.training.loop import train
from convscout.trials.training.run import never

DATA = "benchmark: data"
# A part of an epoch → what is in the names of its operations; the first that fits counts, from the outside in.
PARTS: dict[str, tuple[str, ...]] = {
    "data": (DATA,),
    "optimizer": ("Optimizer.", "clip_grad", "_foreach_norm"),
    "averaging": ("lerp",),
    "loss": ("cross_entropy", "log_softmax", "LogSoftmax", "nll_loss", "NllLoss", "CrossEntropy"),
    "convolutions": ("conv", "Conv"),
    "norms": ("batch_norm", "BatchNorm", "group_norm", "GroupNorm"),
    "pooling": ("pool", "Pool"),
    "linear": ("linear", "addmm", "Addmm", "aten::mm"),
    "casts": ("ToCopy", "aten::to"),
}
REST, PYTHON = "elementwise", "python"
COLUMNS = (
    "convolutions", "norms", REST, "pooling", "linear", "casts", "optimizer", "averaging", "data", "loss", PYTHON
)  # fmt: skip


class MarkedBatches(Batches):
    """Batches whose making is seen in a profile."""

    def shuffled(
        self,
        batch_size: int,
        augmentation: Augmentation,
        generator: torch.Generator,
        mirrored: Tensor | None = None,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """As ``Batches.shuffled``."""
        drawn = super().shuffled(batch_size, augmentation, generator, mirrored)
        while True:
            with record_function(DATA):
                batch = next(drawn, None)
            if batch is None:
                return
            yield batch


def part_of(event: FunctionEvent) -> str:
    """The part of an epoch that ``event`` belongs to: what its outermost telling caller says."""
    lineage, caller = [event.name], event.cpu_parent
    while caller is not None:
        lineage.insert(0, caller.name)
        caller = caller.cpu_parent
    for name in lineage:
        for part, marks in PARTS.items():
            if any(mark in name for mark in marks):
                return part
    return REST


def compare(workload: Workload, asked: argparse.Namespace) -> dict[str, Any]:
    """One network: the shares of the parts of an epoch."""
    made = Prepared.of(workload, MarkedBatches)
    news = train(
        made.state,
        made.training,
        made.validation,
        made.recipe,
        seed=0,
        precision=made.precision,
        should_stop=never,
    )
    epochs = (each for each in news if isinstance(each, Measurement))
    next(epochs)  # warms up
    on_gpu = made.precision.device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    plain_s, profiled_s, spent = list[float](), list[float](), Counter[str]()
    for _ in range(asked.repeats):
        plain_s.append(clock(lambda: next(epochs)))
        with profile(activities=activities) as profiled:
            profiled_s.append(clock(lambda: next(epochs)))
        for event in profiled.events():
            microseconds = event.self_device_time_total if on_gpu else event.self_cpu_time_total
            if not event.name.startswith(("cuda", "Activity Buffer")):  # calls that wait for the GPU
                spent[part_of(event)] += microseconds / 1e6
    total_s = sum(profiled_s)
    named = {name: spent[name] / total_s for name in COLUMNS if name != PYTHON}
    shares = {**named, PYTHON: max(0.0, 1 - sum(named.values()))}
    return {
        "network": workload.network,
        "precision": made.precision.name,
        "steps": workload.steps,
        "step_ms": round(1e3 * median(plain_s) / workload.steps, 3),
        "slowed_down": round(median(profiled_s) / median(plain_s), 2),
        "shares": {name: round(share, 4) for name, share in shares.items()},
    }


def table(results: list[dict[str, Any]]) -> str:
    rows = [
        [
            result["network"],
            result["precision"],
            f"{result['step_ms']:.1f}",
            *(f"{result['shares'][name]:.1%}" for name in COLUMNS),
            f"{result['slowed_down']:.2f}×",
        ]
        for result in results
    ]
    return markdown(["network", "computed in", "ms a step", *COLUMNS, "slowed down"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser)
    parser.add_argument("--steps", type=int, default=20, help="of an epoch")
    parser.add_argument(
        "--proven", action="store_true", help="with the recipe that a search begins with, not plain SGD"
    )
    asked = parsed(parser)
    torch.set_num_threads(asked.threads)
    results = []
    for network in asked.networks:
        workload = Workload(
            network=network,
            steps=2 if asked.quick else asked.steps,
            device=asked.device,
            data=asked.data,
            cache=asked.cache,
            proven=asked.proven,
        )
        results.append(compare(workload, asked))
        print(table(results[-1:]), flush=True)
    facts = dict(
        threads=asked.threads, data=asked.data, repeats=asked.repeats, proven=asked.proven, batch=BATCH_SIZE
    )
    print(table(results), write("profile_epoch", results, **facts), sep="\n\n")


if __name__ == "__main__":
    main()
