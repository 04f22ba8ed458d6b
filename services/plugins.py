"""Plug-ins: the registries of whatever one file, or another installed package, can add to the services.

Those of the design space stand beside what they register: ``convscout.search_space.architecture.families``, ….
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from convscout.search_space.registry import Registry

if TYPE_CHECKING:
    from convscout.services.ensembles.library import Selector
    from convscout.services.explaining.method import Method
    from convscout.services.export.writer import Exporter
    from convscout.services.plotting.view import StudyPlot
    from convscout.services.pruners.base import Pruner
    from convscout.services.samplers.base import Sampling, SamplingTask

samplers: Registry[Callable[[SamplingTask], Sampling]] = Registry(
    "sampler", package="convscout.services.samplers", group="convscout.samplers"
)
"""Samplers. One that does not suit its task raises ``ConfigError``."""

pruners: Registry[Callable[[], Pruner]] = Registry(
    "pruner", package="convscout.services.pruners", group="convscout.pruners"
)

selectors: Registry[Selector] = Registry(
    "selection strategy", package="convscout.services.ensembles.selectors", group="convscout.selectors"
)
"""Strategies by which an ensemble is selected from a library."""

exporters: Registry[type[Exporter]] = Registry(
    "export format", package="convscout.services.export.formats", group="convscout.exporters"
)

study_plots: Registry[StudyPlot] = Registry(
    "plot", package="convscout.services.plotting.study_plots", group="convscout.study_plots"
)

methods: Registry[type[Method]] = Registry(
    "method", package="convscout.services.explaining.methods", group="convscout.explaining"
)
"""Methods of explaining what a network looks at."""
