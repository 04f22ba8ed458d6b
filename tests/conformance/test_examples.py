"""The example in the docstring of each extension point runs, and what it defines passes the kit."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import partial
from typing import Any
from unittest.mock import patch

import pytest

from convscout.search_space.architecture import ArchitectureConfig, families
from convscout.search_space.augmentation import AugmentationConfig, augmentations
from convscout.search_space.optimizer import OptimizerConfig, optimizers
from convscout.search_space.registry import Registry
from convscout.services.ensembles import library
from convscout.services.explaining.method import Method
from convscout.services.export.writer import Exporter
from convscout.services.plotting import view
from convscout.services.plugins import exporters, methods, pruners, samplers, selectors, study_plots
from convscout.services.pruners.base import Pruner
from convscout.services.samplers.base import Sampling
from convscout.testing import (
    check_augmentation,
    check_exporter,
    check_family,
    check_method,
    check_optimizer,
    check_pruner,
    check_sampler,
    check_selector,
    check_source,
    check_study_plot,
)
from convscout.trials.data.sources import Source, sources
from tests.support.sampled import WHOLE

EXAMPLES = [
    (ArchitectureConfig, families, check_family),
    (OptimizerConfig, optimizers, check_optimizer),
    (AugmentationConfig, augmentations, check_augmentation),
    (Source, sources, lambda source: check_source(source.name)),
    (Sampling, samplers, partial(check_sampler, space=WHOLE)),
    (Pruner, pruners, check_pruner),
    (library, selectors, check_selector),
    (Exporter, exporters, check_exporter),
    (Method, methods, check_method),
    (view, study_plots, check_study_plot),
]


def example(documented: object) -> str:
    """The program at the end of a docstring: its indented lines."""
    found = re.search(r"\n\n((?:    .*\n?|\n)+)$", inspect.getdoc(documented) or "")
    assert found, f"{documented} has no example"
    return inspect.cleandoc(found[1])


@pytest.mark.parametrize(
    ("documented", "registry", "check"), EXAMPLES, ids=[registry.kind for _, registry, _ in EXAMPLES]
)
def test_the_example_in_a_docstring_conforms(
    documented: object, registry: Registry[Any], check: Callable[[Any], None]
) -> None:
    known = set(registry.names())
    with patch.dict(registry._entries):
        exec(example(documented), {"__name__": __name__})
        (name,) = set(registry.names()) - known
        check(registry.get(name))
