"""Predicted against real memory of training on a GPU, for sampled candidates of every family.

python -m benchmarks.memory
python -m benchmarks.memory --candidates 5 --families resnet,densenet

Candidates are sampled as a search would, for images of 32 × 32, and take real steps, in bfloat16 and float32 in turn.
Real is what tensors take at the worst moment of an eager step (``max_memory_allocated``), workspaces of kernels
included; held is what the allocator holds once the step was recorded and replayed, which is what others cannot have.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from statistics import median
from typing import Any, Protocol

import optuna
import torch
from optuna.samplers import RandomSampler

from benchmarks.common import markdown, write
from benchmarks.graphs import searched
from benchmarks.workloads import synthetic
from convscout.search_space.architecture import ImageSpec
from convscout.search_space.complexity_meter import measure
from convscout.search_space.errors import UnbuildableError
from convscout.search_space.space import Candidate, SearchSpace
from convscout.trials.compute.precision import Precision, choose_device, use_fast_kernels
from convscout.trials.data.batches import Batches
from convscout.trials.training.cuda_graph import graphs_for
from convscout.trials.training.graphed_step import WARM_UP, Graph
from convscout.trials.training.loop import TrainingState, make_loss, make_step

FORMATS = (torch.bfloat16, torch.float32)
MOST_TRIES = 10  # a candidate: some cannot be built for such images
IMAGES = 1024  # no fewer than a batch has


class Memory(Protocol):
    """What ``torch.cuda`` tells of a GPU's memory, in bytes."""

    def memory_allocated(self) -> int: ...
    def max_memory_allocated(self) -> int: ...
    def reset_peak_memory_stats(self) -> None: ...
    def memory_reserved(self) -> int: ...


def candidates(family: str, image: ImageSpec) -> Iterator[Candidate]:
    """Random ones that can be built for ``image``; always the same."""
    space = SearchSpace(image=image, families=(family,))
    study = optuna.create_study(sampler=RandomSampler(seed=0))
    while True:
        for _ in range(MOST_TRIES):
            candidate = space.suggest(study.ask())
            with suppress(UnbuildableError):
                candidate[0].build(image)
                break
        else:
            return
        yield candidate


def real_bytes(
    candidate: Candidate,
    image: ImageSpec,
    training: Batches,
    precision: Precision,
    new_graph: Callable[[], Graph] | None,
    memory: Memory,
) -> tuple[int, int]:
    """Bytes that a few steps of ``candidate`` take at most while eager, and hold when replayed."""
    allocated, reserved = memory.memory_allocated(), memory.memory_reserved()
    architecture, recipe = candidate
    model = architecture.build(image).to(precision.device).train()
    model.to(memory_format=precision.layout)
    state = TrainingState.of(model, recipe)
    generator = torch.Generator().manual_seed(0)
    images, targets = next(training.shuffled(recipe.batch_size, recipe.policies, generator))
    step = make_step(state, make_loss(recipe, training), recipe, precision, new_graph)
    for _ in range(WARM_UP - 1):  # the optimizer makes its state, and kernels are chosen, which takes more
        step(images, targets, 1)
    memory.reset_peak_memory_stats()
    step(images, targets, 1)
    eager = memory.max_memory_allocated() - allocated
    for _ in range(2):  # one is recorded before it is replayed
        step(images, targets, 1)
    return eager, memory.memory_reserved() - reserved


def compare(
    family: str,
    candidate: Candidate,
    image: ImageSpec,
    training: Batches,
    precision: Precision,
    new_graph: Callable[[], Graph] | None,
    memory: Memory,
) -> dict[str, Any]:
    """Predicted and real bytes of one candidate, or the error that it ended in."""
    architecture, recipe = candidate
    cost = measure(architecture, recipe, image, dtype=precision.dtype)
    result = {
        "family": family,
        "format": precision.name,
        "batch_size": recipe.batch_size,
        "optimizer": recipe.optimizer.name,
        "predicted_bytes": cost.peak_train_bytes,
    }
    try:
        eager, held = real_bytes(candidate, image, training, precision, new_graph, memory)
    except Exception as error:  # a candidate may fail in any way; the others are to be measured
        first_line = next(iter(str(error).splitlines()), "")
        return result | {"error": f"{type(error).__name__}: {first_line[:200]}"}
    return result | {"real_bytes": eager, "held_bytes": held}


def compare_all(
    names: Sequence[str], count: int, device: torch.device, end_s: float, memory: Memory
) -> Iterator[dict[str, Any]]:
    """``count`` candidates of every family, or as many as there is time for until ``end_s``; families take turns."""
    data = synthetic(IMAGES)
    training = Batches(data.train, data.normalization, num_classes=data.image.num_classes, device=device)
    sampled = {name: candidates(name, data.image) for name in names}
    for index in range(count):
        precision = Precision(device, FORMATS[index % len(FORMATS)])
        for name in names:
            for candidate in islice(sampled[name], 1):
                if time.monotonic() > end_s:
                    return
                new_graph = graphs_for(device)
                yield compare(name, candidate, data.image, training, precision, new_graph, memory)
                _let_go(device)


def _let_go(device: torch.device) -> None:
    """Give back what the candidate before held."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def table(results: Sequence[dict[str, Any]]) -> str:
    """A row a family: real and held memory in shares of what was predicted."""
    rows: list[list[object]] = []
    for family in sorted({result["family"] for result in results}):
        own = [result for result in results if result["family"] == family and "error" not in result]
        real, held = shares(own, "real_bytes"), shares(own, "held_bytes")
        figures = (f"{f(values):.2f}" for values in (real, held) for f in (median, max)) if own else "––––"
        rows.append([family, len(own), *figures])
    return markdown(
        ["family", "candidates", "real ÷ predicted, median", "most", "held ÷ predicted, median", "most"], rows
    )


def shares(results: Sequence[dict[str, Any]], what: str) -> list[float]:
    """``what`` of each result, in parts of its prediction."""
    return [result[what] / result["predicted_bytes"] for result in results if "error" not in result]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--families", type=lambda text: text.split(","), default=searched())
    parser.add_argument("--candidates", type=int, default=20, help="of each family")
    parser.add_argument("--seconds", type=float, default=300.0, help="after which no more are tried")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--quick", action="store_true", help="one candidate of one family: does it run?")
    asked = parser.parse_args()
    if asked.quick:
        asked.families, asked.candidates = asked.families[:1], 1
    device = choose_device(asked.device)
    if device.type != "cuda":
        sys.exit("only a GPU counts what is allocated on it")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    use_fast_kernels(device)
    # the libraries' own workspaces stay from their first use on, and are no candidate's
    list(compare_all(asked.families[:1], len(FORMATS), device, float("inf"), torch.cuda))
    end_s = time.monotonic() + asked.seconds
    results = list(compare_all(asked.families, asked.candidates, device, end_s, torch.cuda))
    print(table(results), write("memory", results), sep="\n\n")
    if failed := [result for result in results if "error" in result]:
        first = failed[0]
        sys.exit(
            f"{len(failed)} of {len(results)} candidates failed, first {first['family']}: {first['error']}"
        )


if __name__ == "__main__":
    main()
