"""TPE: the sampler, its densities, and the scale that they are on."""

from convscout.services.samplers.tpe import sampler  # noqa: F401 - registers itself
