"""Steps that a GPU replays against eager ones: the same training of every family on noise, in bfloat16 where native.

python -m benchmarks.graphs

Each family's proven network is trained three times with the recipe that a search begins with: eagerly, eagerly
again, and replayed. Its losses must be the same to 1e-3, or as far as eager runs repeat their own. Ends in an error
where they are not, or where a family's steps cannot be recorded.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from benchmarks.common import markdown, write
from benchmarks.workloads import BATCH_SIZE, synthetic
from convscout.search_space.architecture import families
from convscout.search_space.errors import UnbuildableError
from convscout.search_space.recipe import TrainingRecipe
from convscout.trials.compute.precision import choose_device, choose_precision, use_fast_kernels
from convscout.trials.config import Measurement
from convscout.trials.data.batches import Batches, TrainingData
from convscout.trials.training.cuda_graph import graphs_for
from convscout.trials.training.graphed_step import Graph
from convscout.trials.training.loop import TrainingState, train
from convscout.trials.training.run import never

EPOCHS = 2
IMAGES = 10 * BATCH_SIZE + 20  # so that an epoch ends with a smaller batch, which stays eager
TOLERANCE = 1e-3  # nats
REPEATS_TO = 3  # times what two eager runs differ by: sums in a GPU's kernels have no fixed order

NewGraph = Callable[[], Graph]


def trained(
    family: str, data: TrainingData, recipe: TrainingRecipe, device: torch.device, new_graph: NewGraph | None
) -> list[Measurement]:
    """What the epochs of the family's proven network come to. Raises ``UnbuildableError``."""
    torch.manual_seed(0)
    training, validation = (
        Batches(part, data.normalization, num_classes=data.image.num_classes, device=device)
        for part in (data.train, data.validation)
    )
    model = families.get(family).proven().build(data.image).to(device)
    model.to(memory_format=torch.channels_last)
    model.initialize_from(training.spread(len(training)))
    state = TrainingState.of(model, recipe)
    news = train(
        state,
        training,
        validation,
        recipe,
        seed=0,
        precision=choose_precision(recipe.precision, device),
        should_stop=never,
        new_graph=new_graph,
    )
    return [each for each in news if isinstance(each, Measurement)]


def compare(
    family: str, data: TrainingData, recipe: TrainingRecipe, device: torch.device, new_graph: NewGraph
) -> dict[str, Any]:
    """One family: how far losses of replayed and of repeated training are from eager training."""
    eager, again, replayed = (trained(family, data, recipe, device, how) for how in (None, None, new_graph))
    differs, noise = farthest(eager, replayed), farthest(eager, again)
    why_eager = replayed[-1].eager_reason
    return {
        "family": family,
        "same": not why_eager and differs <= max(TOLERANCE, REPEATS_TO * noise),
        "why_eager": why_eager,
        "difference": differs,
        "eager_again": noise,
        "train_loss": [m.train_loss for m in replayed],
        "images_per_s": {"eager": eager[-1].images_per_s, "replayed": replayed[-1].images_per_s},
    }


def farthest(one: Sequence[Measurement], other: Sequence[Measurement]) -> float:
    """The largest difference of two trainings' losses."""
    return max(
        max(abs(a.train_loss - b.train_loss), abs(a.val_loss - b.val_loss))
        for a, b in zip(one, other, strict=True)
    )


def compare_all(
    names: Sequence[str], device: torch.device, new_graph: NewGraph, images: int = IMAGES
) -> Iterator[dict[str, Any]]:
    """Every family of ``names`` that can be built for such images."""
    data = synthetic(images)
    recipe = TrainingRecipe.proven_for(
        data.image, epochs=EPOCHS, precision="auto", overrides={"recipe.batch_size": BATCH_SIZE}
    )
    for name in names:
        try:
            yield compare(name, data, recipe, device, new_graph)
        except UnbuildableError as error:
            print(f"{name} is left out: {error}")


def searched() -> list[str]:
    """The families that a search may take."""
    return [name for name, family in families.items() if family.searched]


def _row(result: dict[str, Any]) -> list[object]:
    rates = result["images_per_s"]
    return [
        result["family"],
        "yes" if result["same"] else f"no {result['why_eager']}".strip(),
        f"{result['difference']:.1e}",
        f"{result['eager_again']:.1e}",
        *(f"{rates[how]:,.0f}" for how in ("eager", "replayed")),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--families", type=lambda text: text.split(","), default=searched())
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--quick", action="store_true", help="one family: does it run?")
    asked = parser.parse_args()
    device = choose_device(asked.device)
    if (new_graph := graphs_for(device)) is None:
        sys.exit("only a GPU records steps")
    use_fast_kernels(device)
    results = list(compare_all(asked.families[:1] if asked.quick else asked.families, device, new_graph))
    columns = ["family", "same", "differs by", "eager again", "eager, images/s", "replayed"]
    print(markdown(columns, list(map(_row, results))), write("graphs", results), sep="\n\n")
    if different := [result["family"] for result in results if not result["same"]]:
        sys.exit(
            f"{len(different)} of {len(results)} families do not train as eagerly: {', '.join(different)}"
        )


if __name__ == "__main__":
    main()
