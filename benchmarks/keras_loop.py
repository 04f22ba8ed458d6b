"""Keras 3 as a side: our networks put together again from Keras's layers, and trained by ``fit``.

A network is traced with torch.fx and each operation is replaced by the layer of Keras that does the same; a
count of the weights that are trained checks it. Keras is imported late, since its backend must be named before.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import psutil
import torch
import torch.fx
from torch import nn

from benchmarks.sides import Lap, clock
from benchmarks.workloads import BATCH_SIZE, Workload, architecture
from convscout.search_space.augmentations.crop_flip import CropFlip
from convscout.search_space.families.resnet import PaddedShortcut
from convscout.search_space.families.speednet import ConstantScale, WhiteningConv
from convscout.search_space.layers import Subsample


def environment(backend: str) -> dict[str, str]:
    """What must be in the environment before Keras is imported."""
    return {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}


def keras_fit(workload: Workload, threads: int) -> Lap:
    """A lap is an epoch of ``model.fit`` as Keras does it by default: float32, (N, H, W, C), compiled under jax."""
    _take_cores(threads)
    import keras

    data = workload.load()
    recipe = workload.recipe(data.image)
    sgd, policy = recipe.optimizer, recipe.augmentation
    assert isinstance(policy, CropFlip)
    network = architecture(workload.network).build(data.image)
    normalization = data.normalization
    size = data.image.image_size
    images = keras.Input((size, size, data.image.in_channels))
    layers = keras.layers
    changed = layers.RandomFlip("horizontal")(images)
    moved = layers.RandomTranslation(policy.share, policy.share, "reflect", "nearest")(changed)
    scaled = layers.Rescaling(
        [1 / (255 * std) for std in normalization.std],
        [-mean / std for mean, std in zip(normalization.mean, normalization.std, strict=True)],
    )(moved)
    model = keras.Model(images, translate(network, scaled))
    trained = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    expected = sum(weight.numel() for weight in network.parameters())
    assert trained == expected, f"{workload.network} has {expected} weights, and {trained} in Keras"
    model.compile(
        optimizer=keras.optimizers.SGD(
            sgd.learning_rate, sgd.momentum, sgd.nesterov, weight_decay=sgd.weight_decay
        ),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=recipe.label_smoothing),
    )
    inputs = data.train.images.astype(np.float32)
    targets = np.eye(data.image.num_classes, dtype=np.float32)[data.train.labels]
    return lambda: clock(lambda: model.fit(inputs, targets, batch_size=BATCH_SIZE, epochs=1, verbose=0))


class Tracer(torch.fx.Tracer):
    """Sees the modules that a Keras layer stands for as one operation."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(
            m, (Subsample, PaddedShortcut, ConstantScale, WhiteningConv)
        ) or super().is_leaf_module(m, module_qualified_name)


def translate(network: nn.Module, images: Any) -> Any:
    """What ``network`` makes of ``images``, a symbolic tensor (N, H, W, C) of Keras."""
    from keras import layers

    modules, values, answer = dict(network.named_modules()), dict[torch.fx.Node, Any](), None
    for node in Tracer().trace(network).nodes:
        arguments = [values[each] for each in node.all_input_nodes]
        match node.op, node.target:
            case "placeholder", _:
                values[node] = images
            case "call_module", name:
                values[node] = _layer(modules[name])(*arguments)
            case "call_function", operator.add:
                values[node] = layers.Add()(arguments)
            case "call_function", torch.cat:
                values[node] = layers.Concatenate()(arguments)
            case "call_method", "flatten":
                values[node] = layers.Flatten()(*arguments)
            case "output", _:
                answer = arguments[0]
            case _:
                raise NotImplementedError(f"no layer of Keras is known for {node.format_node()}")
    return answer


def _layer(module: nn.Module) -> Callable[[Any], Any]:
    """The layer of Keras that does what ``module`` does."""
    from keras import layers

    match module:
        case WhiteningConv():
            return _whitening(module)
        case nn.Conv2d():
            assert module.groups == 1 and module.stride[0] <= module.kernel_size[0]
            return layers.Conv2D(
                module.out_channels,
                module.kernel_size,
                module.stride,
                "same" if module.padding[0] else "valid",
                use_bias=module.bias is not None,
            )
        case nn.BatchNorm2d():
            return layers.BatchNormalization(epsilon=module.eps, momentum=1 - module.momentum)
        case nn.ReLU():
            return layers.ReLU()
        case nn.GELU():
            return layers.Activation("gelu")
        case nn.MaxPool2d():
            return layers.MaxPooling2D(module.kernel_size)
        case nn.AvgPool2d():
            return layers.AveragePooling2D(module.kernel_size)
        case nn.AdaptiveAvgPool2d(output_size=1):
            return layers.GlobalAveragePooling2D()
        case nn.AdaptiveMaxPool2d(output_size=1):
            return layers.GlobalMaxPooling2D()
        case nn.Linear():
            return layers.Dense(module.out_features, use_bias=module.bias is not None)
        case nn.Flatten():
            return layers.Flatten()
        case nn.Identity() | nn.Dropout(p=0.0):
            return layers.Identity()
        case Subsample():
            return layers.MaxPooling2D(1, module.stride)
        case PaddedShortcut():
            return _padded(module)
        case ConstantScale():
            return layers.Rescaling(module.factor)
    raise NotImplementedError(f"no layer of Keras is known for {module}")


def _padded(shortcut: PaddedShortcut) -> Callable[[Any], Any]:
    from keras import layers, ops

    subsample = layers.MaxPooling2D(1, shortcut.subsample.stride)
    return lambda maps: ops.pad(subsample(maps), [(0, 0), (0, 0), (0, 0), (0, shortcut.missing)])


def _whitening(conv: WhiteningConv) -> Callable[[Any], Any]:
    """A convolution whose bias alone learns."""
    from keras import layers

    filters = layers.Conv2D(conv.out_channels, conv.kernel_size, conv.stride, use_bias=False, trainable=False)

    class Bias(layers.Layer):
        def build(self, shape: tuple[int | None, ...]) -> None:
            self.bias = self.add_weight(shape=(shape[-1],), initializer="zeros")

        def call(self, maps: Any) -> Any:
            return maps + self.bias

    bias = Bias()
    return lambda maps: bias(filters(maps))


def _take_cores(threads: int) -> None:
    """Leave this process as many cores as it is to have threads: jax asks nobody how many to start."""
    this = psutil.Process()
    this.cpu_affinity(this.cpu_affinity()[:threads])
