"""Measuring the complexity of a candidate: from its config, on the meta device, without training."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import flop_registry

from convscout.search_space.architecture import ArchitectureConfig, ImageSpec
from convscout.search_space.classifier import Classifier
from convscout.search_space.complexity import Complexity
from convscout.search_space.meta_device import Arguments, Keywords, MetaAutocast, MetaDevice, MetaRun
from convscout.search_space.recipe import TrainingRecipe


def measure(
    architecture: ArchitectureConfig,
    recipe: TrainingRecipe,
    image: ImageSpec,
    *,
    dtype: torch.dtype = torch.float32,
) -> Complexity:
    """What ``architecture``, trained after ``recipe``, costs for ``image``.

    ``dtype`` is that of convolutions and linear layers in training: float32, or bfloat16 by autocast.
    Raises ``UnbuildableError`` where the network cannot be built.

    ``flops`` follow the papers: one multiply-add counts once, so they are half of what
    ``torch.utils.flop_counter`` counts, and norms, activations and poolings count nothing.

    Memory is that of all tensors alive at the worst moment of a training step. Weights, buffers, their
    average, the optimizer's state and the batch live from step to step. To them comes the larger of two:
    the peak of a forward and backward pass with auxiliary heads, which is run on the meta device while
    tensors are counted as they come and go; and what the update needs, the gradients and the optimizer's
    temporaries. Not counted: workspaces of kernels, the allocator's rounding and fragmentation, what a GPU
    takes to be used at all, the data set, augmentation and validation. On a CPU, what is counted is within a
    tenth of the tensors that torch allocates, for the defaults of all families in both formats. Workspaces are
    the processor's own and come to that: a tenth more in float32; in bfloat16 half as much again where there
    are no instructions for it, as torch then unfolds the images of a convolution to find its gradient. It was
    not compared with a GPU.
    """
    with MetaDevice():
        model = architecture.build(image)
        images = torch.empty(recipe.batch_size, image.in_channels, image.image_size, image.image_size)
        targets = torch.empty(recipe.batch_size, image.num_classes)
    weights = [*model.parameters(), *model.buffers()]
    parameters = [tensor for tensor in weights if tensor.requires_grad]
    step = _Meter(lasting=[*weights, images])
    with step, nullcontext() if dtype is torch.float32 else MetaAutocast(dtype):
        logits = model.forward_training(images)
    forward = step if len(logits) == 1 else _inference(model, images)
    flops, activations = forward.flops, forward.activations
    with step:
        torch.autograd.grad(logits, parameters, list(map(torch.empty_like, logits)), allow_unused=True)
    copies = 1 if recipe.averaging == "none" else 2
    lasting = copies * _bytes(weights) + _bytes([images, targets])
    lasting += sum(recipe.optimizer.state_size(each) * each.nbytes for each in parameters)
    update = _bytes(parameters) + recipe.optimizer.scratch_bytes(parameters)
    return Complexity(
        params=sum(parameter.numel() for parameter in parameters),
        flops=flops // (2 * recipe.batch_size),
        activations=activations // recipe.batch_size,
        peak_train_bytes=lasting + max(step.peak_bytes, update),
    )


@torch.no_grad()
def _inference(model: Classifier, images: Tensor) -> _Meter:
    meter = _Meter(lasting=())
    with meter:
        model(images)
    return meter


class _Meter(MetaRun):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Adds up multiplications, additions and outputs of matrix operations, and follows the memory in use."""

    def __init__(self, *, lasting: Iterable[Tensor]) -> None:
        super().__init__()
        self.flops = 0
        self.activations = 0
        self.peak_bytes = 0
        self._live_bytes = 0
        self._storages: dict[int, object] = {_address(tensor): None for tensor in lasting}

    def appraise(self, func: Any, args: Arguments, kwargs: Keywords, out: Any) -> tuple[int, int]:
        count = flop_registry.get(func._overloadpacket)
        if count is None or not isinstance(out, Tensor):
            return 0, 0
        return count(*args, **kwargs, out_val=out), out.numel()

    def ran(self, appraisal: tuple[int, int], out: Any) -> None:
        flops, activations = appraisal
        self.flops += flops
        self.activations += activations
        for each in out if isinstance(out, tuple | list) else (out,):
            if isinstance(each, Tensor):
                self._follow(each)

    def _follow(self, tensor: Tensor) -> None:
        """Count the storage of ``tensor`` until its last tensor is gone."""
        address, storage = _address(tensor), tensor.untyped_storage()
        if address in self._storages:
            return
        size = storage.nbytes()

        def forget(_: object) -> None:
            del self._storages[address]
            self._live_bytes -= size

        self._storages[address] = weakref.ref(storage, forget)
        self._live_bytes += size
        self.peak_bytes = max(self.peak_bytes, self._live_bytes)


def _address(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)
