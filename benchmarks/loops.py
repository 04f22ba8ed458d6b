"""Loops: our engine, the loop that one writes with torchvision, and the step alone. Each builds a lap."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.sides import Lap, clock
from benchmarks.workloads import BATCH_SIZE, Prepared, Workload, architecture
from convscout.search_space.augmentation import augmentations
from convscout.trials.checkpoints.trial_directory import TrialDirectory
from convscout.trials.compute.precision import choose_device
from convscout.trials.data.batches import TrainingData
from convscout.trials.data.splits import HORIZONTAL_FLIP, LabelledImages
from convscout.trials.training.loop import make_loss
from convscout.trials.training.run import Dispatch, TrialRun

CROP_SHARE = augmentations.get("crop_flip")().to_dict()["share"]  # of the side, by which it moves an image


def engine(workload: Workload) -> Lap:
    """A lap is the training of one epoch of a real ``TrialRun``, as it measures it."""
    data = workload.load()
    scratch = tempfile.TemporaryDirectory()
    TrialDirectory(Path(scratch.name)).claim(1)
    cache = None if workload.calibrations is None else str(workload.calibrations)
    dispatch = Dispatch(
        config=workload.config(data),
        directory=scratch.name,
        device=workload.device,
        reported=0,
        cache=cache,
    )
    run = TrialRun(dispatch, data)

    def lap() -> float:
        progress = run.epoch()
        assert progress.measurement, f"{progress.result} in {scratch.name}"
        return len(data.train) / progress.measurement.images_per_s

    return lap


def step_alone(workload: Workload) -> Lap:
    """A lap is as many steps on one and the same batch, in our number format and layout: the limit."""
    made = Prepared.of(workload)
    model, optimizer, loss = made.state.model, made.state.optimizer, make_loss(made.recipe, made.training)
    generator = torch.Generator().manual_seed(0)
    images, targets = next(made.training.shuffled(BATCH_SIZE, made.recipe.policies, generator))
    images = made.precision.lay_out(images)
    model.train()

    def steps() -> None:
        for _ in range(workload.steps):
            optimizer.zero_grad(set_to_none=True)
            with made.precision.autocast():
                logits = model(images)
            loss(logits.float(), targets).backward()
            optimizer.step()

    return lambda: clock(steps)


def ordinary(workload: Workload, workers: int) -> Lap:
    """A lap is an epoch of PIL images through torchvision's transforms and ``workers`` processes, in float32.

    As in the CIFAR-10 examples of PyTorch and Ray Tune; the workers stay between epochs.
    """
    data, device = workload.load(), choose_device(workload.device)
    recipe = workload.recipe(data.image)
    loader = ordinary_loader(data, BATCH_SIZE, workers)
    model = architecture(workload.network).build(data.image).to(device)
    criterion = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    sgd = recipe.optimizer
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=sgd.learning_rate,
        momentum=sgd.momentum,
        nesterov=sgd.nesterov,
        weight_decay=sgd.weight_decay,
    )

    def epoch() -> None:
        model.train()
        running_loss = 0.0
        for images, labels in loader:
            images, labels = images.to(device), labels.to(device)
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()

    return lambda: clock(epoch)


def ordinary_loader(data: TrainingData, batch_size: int, workers: int) -> DataLoader[Any]:
    """The training images through torchvision's transforms, in ``workers`` processes that stay."""
    normalization, size = data.normalization, data.image.image_size
    transform = transforms.Compose(
        [
            transforms.RandomCrop(size, padding=max(1, round(CROP_SHARE * size)), padding_mode="reflect"),
            *([transforms.RandomHorizontalFlip()] if HORIZONTAL_FLIP in data.image.symmetries else []),
            transforms.ToTensor(),
            transforms.Normalize(normalization.mean, normalization.std),
        ]
    )
    return DataLoader(
        PILImages(data.train, transform),
        batch_size=batch_size,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )


class PILImages(Dataset[tuple[Tensor, int]]):
    """``images`` one by one, as torchvision's datasets give them."""

    def __init__(self, images: LabelledImages, transform: transforms.Compose) -> None:
        self._images = images
        self._transform = transform

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = Image.fromarray(self._images.images[index].squeeze())
        return self._transform(image), int(self._images.labels[index])
