"""OptimizerConfig: what every optimizer is, and the registry of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from convscout.search_space.configurable import Configurable
from convscout.search_space.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig(Configurable, ABC):
    """An optimizer with its settings. Subclasses declare at least the two knobs named here.

    ``learning_rate`` is the peak that the schedule scales. ``weight_decay`` spares biases and norms.
    ``searched`` is False for an optimizer that takes part only when a study names it.

        from dataclasses import dataclass
        from convscout.search_space.knobs import real
        from convscout.search_space.optimizer import OptimizerConfig, optimizers
        from torch.optim import SGD

        @optimizers.register("plain_sgd")
        @dataclass(frozen=True, kw_only=True)
        class PlainSGD(OptimizerConfig):
            learning_rate: float = real(0.1, low=0.01, high=0.5, log=True, help="peak learning rate")
            weight_decay: float = real(5e-4, low=1e-5, high=5e-3, log=True, help="decay of matrices")

            def create(self, groups):
                return SGD(groups, lr=self.learning_rate)

            def state_size(self, parameter):
                return 0
    """

    searched: ClassVar[bool] = True

    learning_rate: float
    weight_decay: float

    @abstractmethod
    def create(self, groups: list[dict[str, Any]]) -> Optimizer:
        """The torch optimizer over ``groups``, each with its own ``weight_decay``."""

    @abstractmethod
    def state_size(self, parameter: Tensor) -> int:
        """How many numbers are kept from step to step for each number in ``parameter``."""

    def scratch_bytes(self, parameters: Sequence[Tensor]) -> int:
        """What a step over ``parameters`` takes besides; nothing where it is fused."""
        return 0

    def build(self, model: nn.Module) -> Optimizer:
        """The torch optimizer for ``model``: matrices and filters decay, biases and norms do not.

        The learning rate of each group is ``learning_rate`` times its ``lr_scale``, which ``model`` decides.
        """
        # torch is imported where an optimizer is built, so that a recipe can be read without it
        from convscout.search_space.parameter_groups import build_optimizer

        return build_optimizer(self, model)


optimizers: Registry[type[OptimizerConfig]] = Registry(
    "optimizer", package="convscout.search_space.optimizers", group="convscout.optimizers"
)


def optimizer_from_dict(values: Mapping[str, Any]) -> OptimizerConfig:
    """The configuration that ``to_dict`` wrote, of whichever optimizer."""
    return optimizers.get(values["name"]).from_dict(values)
