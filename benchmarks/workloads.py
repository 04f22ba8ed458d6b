"""Workloads: a network, images and a recipe that several ways of training are compared on."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from convscout.search_space.architecture import ArchitectureConfig, ImageSpec, families
from convscout.search_space.recipe import TrainingRecipe
from convscout.trials.compute.precision import Precision, choose_device
from convscout.trials.config import TrialConfig
from convscout.trials.data.batches import Batches, TrainingData
from convscout.trials.data.sources import DataRequest, load
from convscout.trials.data.splits import HORIZONTAL_FLIP, LabelledImages, Normalization
from convscout.trials.training.calibration import calibrate
from convscout.trials.training.loop import TrainingState
from convscout.trials.training.run import never

NETWORKS = ("lenet", "speednet", "resnet20", "densenet_bc", "wrn_16_4")
BATCH_SIZE = 128
MOST_LAPS = 1000  # epochs of the recipe, so that a benchmark does not reach the end of it
# what an ordinary loop does too
PLAIN = {
    "recipe.optimizer": "sgd",
    "recipe.augmentation": "crop_flip",
    "recipe.distortion": "none",
    "recipe.averaging": "none",
    "recipe.clipping": "none",
}
SIDE, NUM_CLASSES = 32, 10  # of the synthetic images
_NUM_VALIDATION = 64


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Training ``network`` for laps of ``steps`` batches on ``device`` ("auto", "cpu", "cuda").

    ``data`` is a dataset as ``convscout search`` takes it, or "synthetic": uniform noise of 32 × 32 pixels.
    ``proven`` takes the recipe that a search begins with, else it is one that every library has.
    """

    network: str
    steps: int
    proven: bool = False
    device: str = "auto"
    data: str = "synthetic"
    cache: Path = Path("runs/cache")
    calibrations: Path | None = None  # where all who train it find the same number format and layout

    @property
    def num_images(self) -> int:
        """Training images of one lap."""
        return self.steps * BATCH_SIZE

    def load(self) -> TrainingData:
        """The training images of one lap, and a few to validate on."""
        if self.data == "synthetic":
            return synthetic(self.num_images)
        found = TrainingData.of(load(DataRequest(data=self.data, image_size=SIDE, seed=0, cache=self.cache)))
        indices = np.arange(self.num_images) % len(found.train)
        few = found.validation.at(np.arange(min(_NUM_VALIDATION, len(found.validation))))
        return replace(found, train=found.train.at(indices), validation=few)

    def recipe(self, image: ImageSpec) -> TrainingRecipe:
        """How it is trained, in batches of ``BATCH_SIZE``."""
        overrides = {"recipe.batch_size": BATCH_SIZE, **({} if self.proven else PLAIN)}
        return TrainingRecipe.proven_for(image, epochs=MOST_LAPS, precision="auto", overrides=overrides)

    def config(self, data: TrainingData) -> TrialConfig:
        """The trial that trains it."""
        return TrialConfig(
            number=0,
            attempt=1,
            dataset=data.fingerprint,
            architecture=architecture(self.network),
            recipe=self.recipe(data.image),
            seed=0,
        )


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A workload in memory, as a ``TrialRun`` has it when its training begins."""

    data: TrainingData
    recipe: TrainingRecipe
    precision: Precision
    training: Batches
    validation: Batches
    state: TrainingState

    @classmethod
    def of(cls, workload: Workload, batches: type[Batches] = Batches) -> Prepared:
        """Load and build ``workload``; ``batches`` is what its training images are drawn from."""
        data, device = workload.load(), choose_device(workload.device)
        config = workload.config(data)
        images = dict(num_classes=data.image.num_classes, device=device)
        training = batches(data.train, data.normalization, **images)
        validation = Batches(data.validation, data.normalization, **images)
        torch.manual_seed(config.seed)
        model = config.architecture.build(data.image).to(device)
        model.initialize_from(training.spread(1000))
        state = TrainingState.of(model, config.recipe)
        precision = calibrate(
            state, training, config, data.image, device, cache=workload.calibrations, should_stop=never
        )
        for network in (state.model, state.evaluated):
            network.to(memory_format=precision.layout)
        return cls(
            data=data,
            recipe=config.recipe,
            precision=precision,
            training=training,
            validation=validation,
            state=state,
        )


def architecture(network: str) -> ArchitectureConfig:
    """The default of a family, a published variant, or "densenet_bc": DenseNet-BC of depth 40 and growth 12."""
    match network:
        case "resnet20":
            return families.get("resnet").published("resnet20")
        case "wrn_16_4":
            return families.get("wide_resnet").published("wrn_16_4")
        case "densenet_bc":
            depths = dict(depth1=6, depth2=6, depth3=6, depth4=0)
            return families.get("densenet")(
                growth_rate=12, width=24, stem_stride=1, bottleneck=True, compression=0.5, **depths
            )
        case _:
            return families.get(network)()


def synthetic(num_images: int, *, num_validation: int = _NUM_VALIDATION, side: int = SIDE) -> TrainingData:
    """Noise in ten classes: how fast a network trains does not depend on what it sees."""
    rng = np.random.default_rng(0)

    def part(count: int) -> LabelledImages:
        images = rng.integers(256, size=(count, side, side, 3), dtype=np.uint8)
        return LabelledImages(images=images, labels=np.arange(count) % NUM_CLASSES)

    return TrainingData(
        train=part(num_images),
        validation=part(num_validation),
        image=ImageSpec(
            in_channels=3, image_size=side, num_classes=NUM_CLASSES, symmetries=(HORIZONTAL_FLIP,)
        ),
        normalization=Normalization(mean=(0.5,) * 3, std=(0.29,) * 3),
        fingerprint="synthetic",
    )


def add_options(parser: argparse.ArgumentParser, networks: Sequence[str] = NETWORKS) -> None:
    """The options that all benchmarks of training have."""
    parser.add_argument("--networks", type=lambda text: text.split(","), default=list(networks))
    parser.add_argument("--data", default="synthetic", help="a dataset as convscout search takes it")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"), help="of decoded images")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=1, help="of each process that trains")
    parser.add_argument("--seconds", type=float, default=2.0, help="about how long a lap takes")
    parser.add_argument("--repeats", type=int, default=5, help="laps of each side, in turn")
    parser.add_argument("--quick", action="store_true", help="one network and few steps: does it run?")


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """What is asked for, cut down where that is ``--quick``."""
    asked = parser.parse_args()
    if asked.quick:
        asked.networks, asked.seconds, asked.repeats = asked.networks[:1], 0.01, 1
    return asked
