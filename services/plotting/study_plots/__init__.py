"""Plots of a whole study, one file each; a file registers itself with ``@study_plots.register(NAME)``."""
