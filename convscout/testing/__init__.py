"""Conformance kits: what convscout asks of each kind of plug-in, as functions for the tests of its author.

    from convscout.testing import check_pruner
    from my_package.last_third import LastThird

    def test_conformance():
        check_pruner(LastThird)

Each raises ``AssertionError`` with what does not hold. What convscout brings itself passes.
"""

from __future__ import annotations

from convscout.testing.design_space import check_augmentation, check_family, check_optimizer
from convscout.testing.exporters import check_exporter
from convscout.testing.methods import check_method
from convscout.testing.sources import check_source
from convscout.testing.strategies import check_pruner, check_sampler, check_selector
from convscout.testing.study_plots import check_study_plot

__all__ = [
    "check_augmentation",
    "check_exporter",
    "check_family",
    "check_method",
    "check_optimizer",
    "check_pruner",
    "check_sampler",
    "check_selector",
    "check_source",
    "check_study_plot",
]
